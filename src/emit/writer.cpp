// Classes and the file around them, and the manifest.
#include "emit/writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "emit/body.h"
#include "emit/names.h"
#include "emit/print_table.h"
#include "emit/python_text.h"
#include "emit/render.h"

namespace midstream::emit {
namespace {

class Writer {
 public:
  Writer(Program& program, const EmitOptions& options) : p_(program), options_(options) {}
  std::string source();

 private:
  const Module& module(int id) const { return p_.modules[static_cast<size_t>(id)]; }
  const Class& model() const { return p_.classes[static_cast<size_t>(module(p_.model).cls)]; }
  void line(const std::string& text = {}) { out_ += text + "\n"; }
  void put(const std::string& statement, size_t indent) {
    for (const std::string& text : broken(statement, indent)) line(text);
  }
  void helper(const std::string& name, std::vector<std::string>& order) const;
  void collect(int module, std::vector<int>& order) const;
  void header(const std::string& body);
  void write_class(const Class& c);
  void write_init(const Class& c, const Module& instance);
  void write_forward(const Class& c, const Module& instance);
  void write_load();
  std::string class_doc(const Class& c) const;
  std::vector<std::string> input_names(const Class& c, const Module& instance) const;
  std::string annotation(Value v) const;
  bool is_double() const;

  Program& p_;
  const EmitOptions& options_;
  std::string out_;
};

// Every floating weight is float64.
bool Writer::is_double() const {
  bool any = false, all = true;
  for (const Variable& v : *p_.graph->variables) {
    if (v.role != Role::Weight || !is_floating(v.dtype)) continue;
    any = true;
    all = all && v.dtype == DType::Float64;
  }
  return any && all;
}

void Writer::helper(const std::string& name, std::vector<std::string>& order) const {
  if (std::find(order.begin(), order.end(), name) != order.end()) return;
  const HelperText* text = find_helper(name);
  if (!text) return;
  for (const std::string& needed : text->needs) helper(needed, order);
  order.push_back(name);
}

// Classes before those that use them.
void Writer::collect(int id, std::vector<int>& order) const {
  const Module& m = module(id);
  if (m.cls >= 0 && std::find(order.begin(), order.end(), m.cls) != order.end()) return;
  for (const int child : m.children) collect(child, order);
  if (m.cls >= 0 && std::find(order.begin(), order.end(), m.cls) == order.end()) order.push_back(m.cls);
}

std::string Writer::annotation(Value v) const {
  switch (p_.graph->type(v).kind) {
    case Kind::Int: return "int";
    case Kind::Float: return "float";
    case Kind::Bool: return "bool";
    case Kind::List: return "list[Tensor]";
    default: return "Tensor";
  }
}

bool is_default_name(const std::string& name) {
  const std::string n = name.substr(0, name.find_last_not_of("0123456789_") + 1);
  return n.empty() || n == "input" || n == "inputs" || n == "input_layer" || n == "keras_tensor" || n == "x";
}

std::vector<std::string> Writer::input_names(const Class& c, const Module& instance) const {
  std::set<std::string> taken(p_.helpers.begin(), p_.helpers.end());
  std::vector<std::string> out;
  static const char* const kNames[] = {"x", "y", "z", "u", "v", "w"};
  size_t tensors = 0;
  for (size_t i = 0; i < instance.inputs.size(); ++i) {
    const Value v = instance.inputs[i];
    const Type& type = p_.graph->type(v);
    std::string name = "x";
    if (const Leaf* leaf = p_.leaf(v))
      name = leaf->key.empty() ? "weight" : leaf->key;
    else if (c.kind == "model" && !is_default_name(p_.graph->inputs[i].name))
      name = identifier(p_.graph->inputs[i].name);
    else if (type.kind == Kind::Int)
      name = "size";
    else if (type.kind == Kind::Tensor && type.dtype == DType::Bool)
      name = "mask";
    else if (tensors < std::size(kNames))
      name = kNames[tensors++];
    out.push_back(unique(name, taken));
  }
  return out;
}

std::string Writer::class_doc(const Class& c) const {
  if (c.kind == "model") {
    const std::string from = options_.source_file.empty() ? "" : " of " + python_prose(options_.source_file);
    return fmt::format("The model{}.", from);
  }
  if (c.kind == "scope") return fmt::format("The part '{}' of the model.", python_prose(c.path));
  if (c.kind == "layer" && !c.op.empty())
    return fmt::format("{}, as {} computes it.", c.name,
                       c.op.substr(0, c.op.find('.')) == "keras" ? "Keras" : "the source");
  if (c.instances.size() > 1) return fmt::format("A block that comes {} times.", c.instances.size());
  return "A part of the model.";
}

void Writer::write_init(const Class& c, const Module& instance) {
  std::string parameters;
  for (const Param& p : c.params) parameters += ", " + p.name + ": " + p.annotation;
  put(fmt::format("def __init__(self{}) -> None:", parameters), 4);
  line("        super().__init__()");
  for (const Param& p : c.params)
    if (p.in_forward) line(fmt::format("        self.{0} = {0}", p.name));
  for (size_t k = 0; k < instance.children.size(); ++k)
    put(attribute_line(p_, c, c.attributes[k], instance.children[k]), 8);
  if (c.kind == "model" && is_double()) line("        self.double()");
}

void Writer::write_forward(const Class& c, const Module& instance) {
  const Forward forward = print_forward(p_, c, input_names(c, instance));
  std::string parameters, doc;
  for (size_t i = 0; i < instance.inputs.size(); ++i) {
    parameters += fmt::format(", {}: {}", forward.parameters[i], annotation(instance.inputs[i]));
    const std::string shape = shape_text(p_, c, i, false);
    if (!shape.empty()) doc += fmt::format("{}{} {}", doc.empty() ? "" : ", ", forward.parameters[i], shape);
  }
  std::string returns = "Tensor", results;
  if (instance.outputs.size() != 1) {
    returns.clear();
    for (const Value v : instance.outputs) returns += (returns.empty() ? "" : ", ") + annotation(v);
    returns = "tuple[" + returns + "]";
  } else {
    returns = annotation(instance.outputs[0]);
  }
  for (size_t i = 0; i < instance.outputs.size(); ++i) {
    const std::string shape = shape_text(p_, c, i, true);
    if (shape.empty()) continue;
    results += (results.empty() ? "" : ", ");
    if (c.kind == "model" && instance.outputs.size() > 1) results += python_prose(p_.graph->outputs[i].name) + " ";
    results += shape;
  }
  put(fmt::format("def forward(self{}) -> {}:", parameters, returns), 4);
  std::string text = fmt::format("\"\"\"{} -> {}.\"\"\"", doc, results);
  if (text.size() + 8 <= kWidth) {
    line("        " + text);
  } else {
    line("        \"\"\"" + doc);
    line("        -> " + results + ".");
    line("        \"\"\"");
  }
  for (const std::string& statement : forward.lines) line(statement);
}

void Writer::write_class(const Class& c) {
  const Module& instance = module(c.instances.at(0));
  line();
  line();
  line(fmt::format("class {}(nn.Module):", c.name));
  line(fmt::format("    \"\"\"{}\"\"\"", class_doc(c)));
  line();
  write_init(c, instance);
  line();
  write_forward(c, instance);
}

void Writer::write_load() {
  const std::string& name = model().name;
  line();
  line();
  line(fmt::format("def load(path: str | Path = Path(__file__).with_name(\"weights.safetensors\")) -> {}:", name));
  line("    \"\"\"The model with its weights.\"\"\"");
  line(fmt::format("    model = {}()", name));
  line("    model.load_state_dict(load_file(path))");
  line("    return model");
}

void Writer::header(const std::string& body) {
  std::string top = "\"\"\"" + model().name;
  if (!options_.source_file.empty()) top += ", converted from " + python_prose(options_.source_file);
  if (!options_.written_by.empty()) top += " (" + python_prose(options_.written_by) + ")";
  line(top + " by midstream.");
  line();
  line("Needs torch and safetensors. `load()` gives the model with the weights of weights.safetensors.");
  line("\"\"\"");
  line();
  line("from pathlib import Path");
  line();
  line("import torch");
  if (body.find("F.") != std::string::npos) line("import torch.nn.functional as F");
  line("from safetensors.torch import load_file");
  line("from torch import Tensor, nn");
}

std::string Writer::source() {
  std::vector<int> order;
  collect(p_.model, order);
  std::vector<std::string> helpers;
  for (const std::string& name : p_.helpers) helper(name, helpers);
  for (const std::string& name : helpers) {
    line();
    line();
    line(find_helper(name)->source);
  }
  for (const int c : order) write_class(p_.classes[static_cast<size_t>(c)]);
  write_load();
  const std::string body = std::move(out_);
  out_.clear();
  header(body);
  // torch is named by every file that uses more than nn; keep the imports exact.
  if (body.find("torch.") == std::string::npos) {
    const std::string import = "import torch\n";
    out_.erase(out_.find(import), import.size());
  }
  return out_ + body;
}

void manifest(const Program& program, int id, const std::string& prefix, EmittedModule& out) {
  const Module& m = program.modules[static_cast<size_t>(id)];
  for (const ModuleTensor& t : m.tensors) {
    std::string key = prefix + t.key;
    if (t.key.empty() && !key.empty()) key.pop_back();  // the dot
    if (t.constant >= 0) {
      const Array& array = program.graph->constants[static_cast<size_t>(t.constant)];
      if (array.size() > 32) out.constants.push_back({key, array});
    } else {
      out.tensors.push_back({key, program.graph->variables->at(static_cast<size_t>(t.variable)).name, t.buffer});
    }
  }
  for (size_t i = 0; i < m.children.size(); ++i) {
    const std::string name = m.cls >= 0 ? program.classes[static_cast<size_t>(m.cls)].attributes[i] : std::to_string(i);
    manifest(program, m.children[i], prefix + name + ".", out);
  }
}

}  // namespace

EmittedModule write(Program& program, const EmitOptions& options) {
  EmittedModule out;
  out.source = Writer(program, options).source();
  out.class_name = program.classes[static_cast<size_t>(program.modules[static_cast<size_t>(program.model)].cls)].name;
  out.inputs = static_cast<int>(program.graph->inputs.size());
  for (const Output& o : program.graph->outputs)
    out.output_ranks.push_back(static_cast<int>(program.graph->type(o.value).dims.size()));
  manifest(program, program.model, "", out);
  return out;
}

}  // namespace midstream::emit
