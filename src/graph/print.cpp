// The graph as text; parse.cpp reads it back. Values are named by their hints, made unique, or numbered in the order of
// printing, so that the text does not depend on what was built and thrown away.
#include <algorithm>
#include <unordered_set>

#include "graph/dialect.h"
#include "graph/graph.h"
#include "graph/text.h"

namespace midstream {
namespace {

class Printer {
 public:
  Printer(const Graph& graph, const Dialect* dialect) : g_(graph), dialect_(dialect) {}

  std::string run() {
    find_used(g_.body);
    for (const Output& o : g_.outputs) use(o.value);
    header();
    leaves();
    nodes(g_.body, 1);
    line(1) += "return";
    for (size_t i = 0; i < g_.outputs.size(); ++i) {
      const Output& o = g_.outputs[i];
      out_ += (i ? ", " : " ");
      if (!o.name.empty()) out_ += (text::is_identifier(o.name) ? o.name : text::quote(o.name)) + "=";
      out_ += value(o.value);
    }
    out_ += "\n}\n";
    return std::move(out_);
  }

 private:
  void use(Value v) {
    if (v) used_.insert(v.id);
  }
  void find_used(const Block& block) {
    for (const auto& node : block.nodes) {
      for_each_operand(node->args, [&](Value v) { use(v); });
      for (const Block& inner : node->blocks) find_used(inner);
    }
    for (Value v : block.results) use(v);
  }

  // Starts a line; what is appended to the result goes there.
  std::string& line(int depth) { return out_.append(static_cast<size_t>(depth) * 2, ' '); }

  std::string value(Value v) {
    if (!v) return "none";
    auto it = names_.find(v.id);
    return it == names_.end() ? define(v) : "%" + it->second;
  }
  std::string define(Value v) {
    const ValueInfo& info = g_.info(v);
    std::string hint = info.name;
    if (info.leaf == LeafKind::Variable) hint = hint.substr(hint.rfind('/') + 1);
    std::string name;
    if (hint.empty()) {
      name = std::to_string(++counter_);
    } else {
      for (char& c : hint)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.') c = '_';
      if (!text::is_identifier(hint)) hint = "_" + hint;
      name = hint;
      for (int i = 1; !taken_.insert(name).second; ++i) name = hint + "_" + std::to_string(i);
    }
    names_[v.id] = name;
    return "%" + name;
  }

  // A type, and the samples where they are not what parse_graph would take.
  std::string type(const ValueInfo& info) const {
    const Samples fallback = default_samples(g_, info.type);
    const auto& [a, b] = info.samples;
    auto pair = [](const std::string& x, const std::string& y) { return "(" + x + ", " + y + ")"; };
    const bool numbers_differ = a.number != fallback[0].number || b.number != fallback[1].number;
    auto integers = [&] { return numbers_differ ? pair(std::to_string(a.number), std::to_string(b.number)) : ""; };
    switch (info.type.kind) {
      case Kind::Tensor: return std::string(short_name(info.type.dtype)) + dims(info, fallback);
      case Kind::Int: return "int" + integers();
      case Kind::Bool: return "bool" + integers();
      case Kind::Float:
        return a.real == fallback[0].real && b.real == fallback[1].real
                   ? "float"
                   : "float" + pair(text::number(a.real), text::number(b.real));
      case Kind::List:
        if (a.dims == Dims{kUnknown} && info.type.dims == a.dims) return "list(?)" + integers();
        return "list(" + std::string(short_name(info.type.dtype)) + dims(info, fallback) + ")" + integers();
      case Kind::None: return "none";
    }
    return "none";
  }
  static std::string dims(const ValueInfo& info, const Samples& fallback) {
    std::string text = "[";
    for (size_t i = 0; i < info.type.dims.size(); ++i) {
      const int64_t a = info.samples[0].dims[i], b = info.samples[1].dims[i];
      text += i ? ", " : "";
      if (info.type.dims[i] != kUnknown) {
        text += std::to_string(info.type.dims[i]);
        continue;
      }
      text += "?";
      if (a != fallback[0].dims[i] || b != fallback[1].dims[i])
        text += "(" + std::to_string(a) + ", " + std::to_string(b) + ")";
    }
    return text + "]";
  }

  void header() {
    out_ += "graph";
    if (!g_.name.empty()) out_ += " " + text::quote(g_.name);
    if (g_.sample_sizes != std::array<int64_t, 2>{512, 768})
      out_ += " sample_sizes " + std::to_string(g_.sample_sizes[0]) + ", " + std::to_string(g_.sample_sizes[1]) + " ";
    out_ += "(";
    for (size_t i = 0; i < g_.inputs.size(); ++i) {
      const Input& input = g_.inputs[i];
      const std::string name = define(input.value);
      out_ += (i ? ", " : "") + name;
      if (name != "%" + input.name) out_ += " " + text::quote(input.name);
      out_ += ": " + type(g_.info(input.value));
    }
    out_ += ") {\n";
    for (const Scope& s : g_.scopes) line(1) += "scope " + text::quote(s.path) + " " + text::quote(s.op) + "\n";
  }

  void leaves() {
    for (size_t id = 0; id < g_.values.size(); ++id) {
      const Value v{static_cast<int32_t>(id)};
      const ValueInfo& info = g_.values[id];
      if (!used_.contains(v.id)) continue;
      if (info.leaf == LeafKind::Variable) {
        const std::string name = define(v);
        line(1) += name + " = " + variable(g_.variables->at(static_cast<size_t>(info.index))) + "\n";
      } else if (info.leaf == LeafKind::Constant) {
        const std::string name = define(v);
        line(1) += name + " = constant " + constant(info) + "\n";
      } else if (info.leaf == LeafKind::Training) {
        const std::string name = define(v);
        line(1) += name + " = training\n";
      }
    }
  }
  static std::string variable(const Variable& v) {
    std::string text = "variable " + text::quote(v.name) + " " + to_string(Type{Kind::Tensor, v.dtype, v.source_dims});
    if (v.trainable) text += " trainable";
    if (v.role != Role::Weight) text += " role " + std::string(text::name(v.role));
    if (!v.source.empty()) text += " source " + text::quote(v.source);
    if (!v.stored_as.empty()) text += " stored_as " + to_string(v.stored_as);
    return text;
  }
  std::string constant(const ValueInfo& info) const {
    const Array& a = g_.constants[static_cast<size_t>(info.index)];
    if (info.type.kind == Kind::Int) return "int " + std::to_string(a.to_int64()[0]);
    if (info.type.kind == Kind::Bool) return a.to_int64()[0] ? "bool true" : "bool false";
    if (info.type.kind == Kind::Float) return "float " + text::number(a.to_double()[0]);
    const std::string head = to_string(info.type) + " ";
    const bool halves = a.dtype() == DType::Float16 || a.dtype() == DType::BFloat16;
    if (a.size() > text::kMaxConstant || a.dtype() == DType::Complex64 || a.dtype() == DType::Complex128)
      return head + "...";
    std::vector<std::string> items;
    if (a.dtype() == DType::String) {
      for (const std::string& s : a.strings()) items.push_back(text::quote(s));
    } else if (halves) {  // their bits
      for (uint16_t bits : a.copy<uint16_t>()) items.push_back(std::to_string(bits));
    } else if (a.dtype() == DType::Float32) {
      for (float f : a.copy<float>()) items.push_back(text::number(f));
    } else if (is_floating(a.dtype())) {
      for (double d : a.to_double()) items.push_back(text::number(d));
    } else {
      for (int64_t i : a.to_int64()) items.push_back(std::to_string(i));
    }
    std::string text = head + (halves ? "bits [" : "[");
    for (size_t i = 0; i < items.size(); ++i) text += (i ? ", " : "") + items[i];
    return text + "]";
  }

  void nodes(const Block& block, int depth) {
    for (const auto& node : block.nodes) {
      if (node->kind == NodeKind::Call) call(*node, depth);
      if (node->kind == NodeKind::Region) region(*node, depth);
      if (node->kind == NodeKind::Assign) {
        const std::string text =
            "assign " + value(*operand(*node, "variable")) + " = " + value(*operand(*node, "value"));
        line(depth) += text + origin(*node) + "\n";
      }
    }
  }
  static const Value* operand(const Node& node, const char* name) {
    return std::get_if<Value>(&node.arg(name)->variant());
  }

  std::string origin(const Node& node) const {
    const Origin& o = g_.origin(node);
    if (o == Origin{}) return "";
    std::string text = "  # " + to_string(Origin{o.path, "", o.call});
    return o.op.empty() ? text : text + ", " + o.op;
  }
  std::string results(const Node& node) {
    std::string text;
    for (Value v : node.outputs) text += (text.empty() ? "" : ", ") + define(v);
    if (node.unpacks_list) text = "[" + text + "]";
    return text.empty() ? text : text + " = ";
  }

  void call(const Node& node, int depth) {
    std::string args;
    const Schema* schema = dialect_ ? &dialect_->schema(node.op) : nullptr;
    bool positional = true;  // tensors that come first go without a keyword
    for (size_t i = 0; i < node.args.size(); ++i) {
      const NamedArg& a = node.args[i];
      const auto& v = a.value.variant();
      positional = positional && schema && schema->args[i].name == a.name &&
                   (std::holds_alternative<Value>(v) || std::holds_alternative<std::vector<Value>>(v));
      args += (i ? ", " : "") + (positional ? "" : a.name + "=") + arg(a.value);
    }
    const std::string left = results(node);
    line(depth) += left + node.op + "(" + args + ")" + origin(node) + "\n";
  }

  std::string arg(const Arg& a) {
    auto all = [&](const auto& items, auto&& item) {
      std::string text = "[";
      for (size_t i = 0; i < items.size(); ++i) text += (i ? ", " : "") + item(items[i]);
      return text + "]";
    };
    auto boolean = [](bool b) { return std::string(b ? "true" : "false"); };
    return std::visit(
        [&](const auto& v) -> std::string {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, std::monostate>)
            return "none";
          else if constexpr (std::is_same_v<T, Value>)
            return value(v);
          else if constexpr (std::is_same_v<T, bool>)
            return boolean(v);
          else if constexpr (std::is_same_v<T, int64_t>)
            return std::to_string(v);
          else if constexpr (std::is_same_v<T, double>)
            return text::number(v);
          else if constexpr (std::is_same_v<T, DType>)
            return std::string(short_name(v));
          else if constexpr (std::is_same_v<T, std::string>)
            return text::quote(v);
          else if constexpr (std::is_same_v<T, std::vector<IntArg>>)
            return all(v, [&](const IntArg& i) {
              auto* x = std::get_if<Value>(&i);
              return x ? value(*x) : std::to_string(std::get<int64_t>(i));
            });
          else if constexpr (std::is_same_v<T, std::vector<double>>)
            return all(v, [](double d) { return text::number(d); });
          else if constexpr (std::is_same_v<T, std::vector<bool>>)
            return all(v, boolean);
          else
            return all(v, [&](Value x) { return value(x); });
        },
        a.variant());
  }

  // if(%p) {..} else {..};  while(%i: int = %0) {..} do(%i2) {..};  call(%x) {..}
  void region(const Node& node, int depth) {
    std::vector<Value> operands;
    for_each_operand(node.args, [&](Value v) { operands.push_back(v); });
    std::string args;
    const std::vector<Value>& inner = node.blocks[0].args;
    for (size_t i = 0; i < operands.size(); ++i) {
      args += i ? ", " : "";
      const std::string outer = value(operands[i]);
      if (i < inner.size()) {
        const std::string name = define(inner[i]);
        args += name + ": " + type(g_.info(inner[i])) + " = ";
      }
      args += outer;
    }
    // The outputs are named after the blocks: they are defined when the region is over.
    const size_t start = out_.size();
    for (size_t b = 0; b < node.blocks.size(); ++b) {
      const Block& block = node.blocks[b];
      if (b > 0) {
        line(depth) += node.op == "while" ? "} do(" : "} else";
        for (size_t i = 0; i < block.args.size(); ++i) {
          const std::string name = define(block.args[i]);
          out_ += (i ? ", " : "") + name;
        }
        out_ += node.op == "while" ? ") {\n" : " {\n";
      }
      nodes(block, depth + 1);
      std::string results;
      for (Value v : block.results) results += (results.empty() ? " " : ", ") + value(v);
      line(depth + 1) += "yield" + results + "\n";
    }
    line(depth) += "}\n";
    const std::string head = std::string(static_cast<size_t>(depth) * 2, ' ') + results(node) + node.op + "(" + args +
                             ") {" + origin(node) + "\n";
    out_.insert(start, head);
  }

  const Graph& g_;
  const Dialect* dialect_;
  std::string out_;
  std::unordered_set<int32_t> used_;
  std::unordered_map<int32_t, std::string> names_;
  std::unordered_set<std::string> taken_;
  int counter_ = 0;
};

}  // namespace

std::string print(const Graph& graph, const Dialect* dialect) { return Printer(graph, dialect).run(); }

}  // namespace midstream
