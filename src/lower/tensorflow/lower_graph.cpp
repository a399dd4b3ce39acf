#include "lower/tensorflow/lower_graph.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "lower/tensorflow/driver.h"
#include "lower/tensorflow/input_shapes.h"
#include "lower/tensorflow/weights.h"

namespace midstream::tensorflow {
namespace {

bool takes_strings(const Entry& e) {
  return std::any_of(e.inputs.begin(), e.inputs.end(), [](const Entry::Port& p) { return p.dtype == TfType::String; });
}

// The type of an input. An unknown rank has no graph of ours: TensorFlow's placeholders that say nothing are taken as
// what most models mean, a batch.
// What the user calls the model: the file's or directory's name, without a version that is only a number.
std::string name_of(const std::string& path) {
  std::filesystem::path p = std::filesystem::absolute(path).lexically_normal();
  if (!p.has_filename()) p = p.parent_path();
  const std::string name = p.stem();
  const bool version = name.find_first_not_of("0123456789") == std::string::npos;
  return version ? p.parent_path().filename().string() : name;
}

Type input_type(const std::string& name, TfType dtype, const TfShape& shape) {
  auto known = to_dtype(dtype);
  if (!known || *known == DType::String)
    throw Error(ErrorKind::Unsupported, name,
                "is an input of " + to_string(dtype) + ", which PyTorch has no tensor for.");
  return {Kind::Tensor, *known, shape.value_or(Dims{kUnknown})};
}

void report(const File& file, const Missing& missing) {
  if (missing.empty()) return;
  std::string text = std::to_string(missing.size()) + (missing.size() == 1 ? " operation" : " operations") +
                     " of this graph have no lowering yet:";
  for (const auto& [op, places] : missing) {
    text += "\n  tf." + op + "  x" + std::to_string(places.size()) + "  at ";
    for (size_t i = 0; i < std::min<size_t>(3, places.size()); ++i) text += (i ? ", " : "") + places[i];
    if (places.size() > 3) text += ", ...";
  }
  throw Error(ErrorKind::Unsupported, file.path, text, "\n  To add one: CONTRIBUTING.md.");
}

// What training adds to a graph: the gradients (TensorFlow 1 puts them under this name), updates, saving, summaries.
bool is_training_part(const NodeDef& node) {
  for (const char* scope : {"gradients/", "gradients_", "save/"})
    if (node.name.starts_with(scope)) return true;
  for (const char* op : {"NoOp", "Assert", "Assign", "SaveV2", "MergeSummary", "ScalarSummary", "HistogramSummary"})
    if (node.op == op) return true;
  return node.op.starts_with("Apply") || node.op.starts_with("ResourceApply");
}

Entry::Port placeholder(const File& file, const NodeDef& node) {
  TfShape shape = node.has("shape") ? node.attr("shape").shape() : TfShape();
  // Of old writers a number and an unknown rank look the same, and TensorFlow takes both as unknown.
  if (file.graph.producer <= 21 && shape == Dims{}) shape = std::nullopt;
  return {node.name, node.name + ":0", node.attr("dtype").type(), shape};
}

// Of a bare graph the inputs are its placeholders, the outputs the tensors that no node consumes.
Entry bare_entry(const File& file, const std::map<std::string, std::string>& variable_of_node) {
  Entry entry;
  std::set<std::string> consumed;
  for (const NodeDef& node : file.graph.nodes)
    for (const std::string& input : node.inputs) consumed.insert(parse_endpoint(input).node);
  for (const NodeDef& node : file.graph.nodes) {
    if (node.op == "Placeholder") {
      entry.inputs.push_back(placeholder(file, node));
      continue;
    }
    if (consumed.count(node.name) || is_training_part(node) || variable_of_node.count(node.name)) continue;
    entry.outputs.push_back({node.name, node.name + ":0", TfType::Invalid, {}});
  }
  return entry;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (size_t first = 0, end = 0; end != std::string::npos; first = end + 1) {
    end = text.find(',', first);
    out.push_back(text.substr(first, end - first));
  }
  return out;
}

// The tensors that `names` ("pred", or "logits:0,loss:0") lists, and the placeholders that they need; nullopt where the
// graph has not all of them.
std::optional<Entry> entry_of_tensors(const File& file, const std::string& names) {
  std::map<std::string, const NodeDef*> nodes;
  for (const NodeDef& node : file.graph.nodes) nodes[node.name] = &node;
  Entry entry;
  std::vector<std::string> open;
  std::set<std::string> needed;
  for (const std::string& name : split(names)) {
    const Endpoint e = parse_endpoint(name);
    if (!nodes.count(e.node)) return std::nullopt;
    open.push_back(e.node);
    entry.outputs.push_back({name, e.node + ":" + std::to_string(e.index), TfType::Float, {}});
  }
  while (!open.empty()) {
    const std::string name = open.back();
    open.pop_back();
    if (!nodes.count(name) || !needed.insert(name).second) continue;
    for (const std::string& input : nodes[name]->inputs)
      if (const Endpoint e = parse_endpoint(input); !e.control) open.push_back(e.node);
  }
  for (const NodeDef& node : file.graph.nodes)
    if (node.op == "Placeholder" && needed.count(node.name)) entry.inputs.push_back(placeholder(file, node));
  return entry;
}

class Lowering {
 public:
  Lowering(const File& file, std::shared_ptr<Variables> variables, const Dialect& dialect, const LowerOptions& options)
      : file_(file),
        fed_(options.fed),
        exact_(options.exact),
        graph_(std::make_unique<Graph>(std::move(variables))),
        variable_of_node_(add_variables(file, *graph_->variables)),
        b_(*graph_, dialect),
        driver_(b_, file, variable_of_node_) {
    graph_->name = name_of(file.path);
  }

  Missing unsupported(const Entry& entry) {
    for (const Entry::Port& p : entry.inputs) driver_.bind(p.tensor, b_.input(p.name, port_type(p)));
    std::vector<std::string> wanted;
    for (const Entry::Port& p : entry.outputs) wanted.push_back(p.tensor);
    return driver_.unsupported(wanted);
  }

  std::unique_ptr<Graph> entry(const Entry& entry) {
    report(file_, unsupported(entry));
    for (const Entry::Port& p : entry.outputs) {
      for (size_t i = 0;; ++i) {  // a bare graph's node with several outputs gives all of them
        Operand o = i == 0 ? driver_.evaluate(p.tensor) : driver_.output(p.tensor, i);
        if (!o.defined()) break;
        if (!o.opaque() && !o.variable()) add_output(i == 0 ? p.name : p.name + ":" + std::to_string(i), o);
        if (p.dtype != TfType::Invalid) break;
      }
    }
    return finish();
  }

  std::unique_ptr<Graph> function(const std::string& name) {
    const FunctionDef* f = file_.graph.find_function(name);
    if (!f) throw Error(ErrorKind::Usage, file_.path, "holds no function " + name + ".");
    const std::vector<Capture> captures = file_.captures.count(name) ? file_.captures.at(name) : std::vector<Capture>();
    Operands arguments;
    size_t given = f->inputs.size() - captures.size();
    for (size_t i = 0; i < f->inputs.size(); ++i)
      arguments.push_back(i < given ? argument(*f, i) : capture(captures[i - given]));
    report(file_, driver_.unsupported_function(name));
    Operands results = driver_.call_function(name, arguments);
    for (size_t i = 0; i < results.size(); ++i) add_output(f->outputs[i].name, results[i]);
    return finish();
  }

 private:
  Type port_type(const Entry::Port& p) {
    TfShape shape = p.shape;
    // TF1 placeholders keep their shape in a second place when the attribute says nothing.
    for (const NodeDef& node : file_.graph.nodes)
      if (!shape && node.name == parse_endpoint(p.tensor).node && node.has("_output_shapes"))
        shape = node.attr("_output_shapes").shapes().at(0);
    if (auto fed = fed_.find(fed_.count(p.name) ? p.name : ""); fed != fed_.end() && (exact_ || !shape)) {
      shape = fed->second;
      if (!exact_ && !shape->empty()) shape->front() = kUnknown;
    }
    if (!shape) shape = shape_from_readers(file_, parse_endpoint(p.tensor).node);
    return input_type(p.name, p.dtype, shape);
  }

  Operand argument(const FunctionDef& f, size_t i) {
    TfShape shape;
    if (auto it = f.arg_attrs.find(static_cast<uint32_t>(i)); it != f.arg_attrs.end())
      if (auto shapes = it->second.find("_output_shapes"); shapes != it->second.end())
        shape = shapes->second.shapes().at(0);
    return b_.input(f.inputs[i].name, input_type(f.inputs[i].name, f.inputs[i].type, shape));
  }

  Operand capture(const Capture& c) {
    if (!c.variable_key.empty()) {
      auto name = file_.names.find(c.variable_key);
      return VariableHandle{add_variable(file_, *graph_->variables, c.variable_key,
                                         name == file_.names.end() ? c.variable_key : name->second)};
    }
    if (!c.constant.empty()) return driver_.evaluate(c.constant + ":0");
    return Opaque{"a captured resource"};
  }

  void add_output(const std::string& name, const Operand& o) { outputs_.push_back({name, materialize(b_, o)}); }

  std::unique_ptr<Graph> finish() {
    driver_.finish();
    b_.outputs(outputs_);
    return std::move(graph_);
  }

  const File& file_;
  FedShapes fed_;
  bool exact_;
  std::unique_ptr<Graph> graph_;
  std::map<std::string, std::string> variable_of_node_;
  Builder b_;
  Driver driver_;
  std::vector<Output> outputs_;

 public:
  const std::map<std::string, std::string>& variable_of_node() const { return variable_of_node_; }
};

}  // namespace

std::vector<std::string> signatures(const File& file) {
  std::vector<std::string> names;
  for (const Entry& e : file.signatures)
    if (!takes_strings(e)) names.push_back(e.name);
  std::stable_partition(names.begin(), names.end(), [](const std::string& n) { return n == "serving_default"; });
  return names;
}

static Entry chosen_entry(const File& file, const Lowering& lowering, const std::string& signature) {
  if (!signature.empty()) {
    if (const Entry* e = file.find(signature)) return *e;
    if (auto tensors = entry_of_tensors(file, signature)) return *tensors;
    std::string known;
    for (const Entry& e : file.signatures) known += (known.empty() ? "" : ", ") + e.name;
    throw Error(ErrorKind::Usage, file.path,
                "has no signature " + signature + "; it has " + (known.empty() ? "none" : known) + ".");
  }
  std::vector<std::string> names = signatures(file);
  return names.empty() ? bare_entry(file, lowering.variable_of_node()) : *file.find(names[0]);
}

std::unique_ptr<Graph> lower_graph(const File& file, std::shared_ptr<Variables> variables, const Dialect& dialect,
                                   const LowerOptions& options) {
  Lowering lowering(file, std::move(variables), dialect, options);
  if (!options.function.empty()) return lowering.function(options.function);
  return lowering.entry(chosen_entry(file, lowering, options.signature));
}

Missing unsupported(const File& file, const Dialect& dialect, const std::string& signature) {
  Lowering lowering(file, std::make_shared<Variables>(), dialect, {});
  return lowering.unsupported(chosen_entry(file, lowering, signature));
}

}  // namespace midstream::tensorflow
