// Spellings filled in: "{self}.mean(dim={dim}{, keepdim})" and a node give an expression.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "emit/print_table.h"
#include "emit/python_text.h"

namespace midstream::emit {

namespace {

// One hole of a spelling.
struct Hole {
  std::string_view name;
  std::string_view keyword;  // of "{, keyword=name}"
  bool silent = false;       // "{-name}"
  bool optional = false, spliced = false, number = false, compacted = false;
};

Hole parse_hole(std::string_view text) {
  Hole hole;
  if (text.starts_with(", ")) {
    hole.optional = true;
    text.remove_prefix(2);
    if (const size_t equals = text.find('='); equals != std::string_view::npos) {
      hole.keyword = text.substr(0, equals);
      text.remove_prefix(equals + 1);
    }
  }
  if (text.starts_with("-")) {
    hole.silent = true;
    text.remove_prefix(1);
  }
  if (text.starts_with("*")) {
    hole.spliced = true;
    text.remove_prefix(1);
  }
  if (text.ends_with("~")) {
    hole.number = true;
    text.remove_suffix(1);
  }
  if (text.ends_with("%")) {
    hole.compacted = true;
    text.remove_suffix(1);
  }
  hole.name = text;
  if (hole.keyword.empty()) hole.keyword = text;
  return hole;
}

// Calls f(text before, hole or null) for each part of the spelling.
template <class F>
void for_each_part(std::string_view spelling, F&& f) {
  size_t at = 0;
  while (at < spelling.size()) {
    const size_t open = spelling.find('{', at);
    if (open == std::string_view::npos) break;
    const size_t close = spelling.find('}', open);
    const Hole hole = parse_hole(spelling.substr(open + 1, close - open - 1));
    f(spelling.substr(at, open - at), &hole, open, close + 1);
    at = close + 1;
  }
  f(spelling.substr(at), static_cast<const Hole*>(nullptr), spelling.size(), spelling.size());
}

// How tightly what stands in spelling[open, close) must bind, given its neighbours.
int binding(std::string_view spelling, size_t open, size_t close, int precedence) {
  const char after = close < spelling.size() ? spelling[close] : '\0';
  const char before = open > 0 ? spelling[open - 1] : '\0';
  if (after == '.' || after == '[') return kAtom;
  const bool closed = after == ')' || after == ',' || after == ']' || after == '{' || after == ':' || after == '\0';
  const bool opened = before == '(' || before == '[' || before == '=' || before == ':' || before == '\0' ||
                      (open > 1 && before == ' ' && spelling[open - 2] == ',');
  if (opened && closed && !(before == '\0' && after == '\0')) return kLoosest;
  const bool left = opened || spelling.substr(0, open).find('{') == std::string_view::npos;
  if (precedence == kPower) return left ? kAtom : kUnary;
  if (before == '-' && precedence == kUnary) return kUnary;
  return left ? precedence : precedence + 1;
}

// A 0-d constant as Python's number, shortest for its dtype; nothing where it is no such constant.
std::optional<Literal> scalar(const Graph& graph, Value v) {
  const ValueInfo& info = graph.info(v);
  if (info.leaf != LeafKind::Constant) return std::nullopt;
  const Array& array = graph.constants[static_cast<size_t>(info.index)];
  if (!array.shape().empty() || array.dtype() == DType::String) return std::nullopt;
  if (array.dtype() == DType::Bool) return Literal(array.to_int64()[0] != 0);
  if (is_integral(array.dtype())) return Literal(array.to_int64()[0]);
  if (!is_floating(array.dtype())) return std::nullopt;
  const double number = array.to_double()[0];
  if (array.dtype() == DType::Float32) {  // the number that the source had: 0.1, not 0.10000000149
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), static_cast<float>(number)).ptr;
    double shortest = number;
    std::from_chars(buffer, end, shortest);
    return Literal(shortest);
  }
  return Literal(number);
}

// May the 0-d constant `v` be a plain number among the node's operands? Not if it decides the result's dtype.
bool decides_nothing(const NodeView& view, Value v) {
  bool other = false;
  for_each_operand(view.node.args, [&](Value o) {
    if (o == v || view.graph.type(o).kind != Kind::Tensor) return;
    const bool same = view.graph.type(o).dtype == view.graph.type(v).dtype;
    if (same && !scalar(view.graph, o)) other = true;
  });
  return other;
}

void put_value(Expr& out, const NodeView& view, Value v, const Hole& hole, int binds) {
  if (!v) {
    out.text("None");
    return;
  }
  const bool host = view.graph.type(v).kind != Kind::Tensor;
  if (auto number = scalar(view.graph, v); number && (host || (hole.number && decides_nothing(view, v))))
    out.literal(std::string(hole.name), *number, false, binds);
  else
    out.operand(v, binds);
}

template <class List, class F>
void put_list(Expr& out, const List& list, bool spliced, F&& put) {
  if (!spliced) out.text("(");
  for (size_t i = 0; i < list.size(); ++i) {
    if (i) out.text(", ");
    put(list[i]);
  }
  if (!spliced) out.text(list.size() == 1 ? ",)" : ")");
}

void put_ints(Expr& out, const NodeView& view, const std::vector<IntArg>& list, const Hole& hole) {
  std::vector<int64_t> constants;
  for (const IntArg& i : list)
    if (auto* n = std::get_if<int64_t>(&i)) constants.push_back(*n);
  if (constants.size() == list.size()) {
    out.literal(std::string(hole.name), hole.compacted ? compact(constants) : Literal(constants), hole.spliced);
    return;
  }
  put_list(out, list, hole.spliced, [&](const IntArg& i) {
    if (auto* n = std::get_if<int64_t>(&i))
      out.literal(std::string(hole.name), Literal(*n));
    else
      put_value(out, view, std::get<Value>(i), hole, kLoosest);
  });
}

void put_arg(Expr& out, const NodeView& view, const Arg& arg, const Hole& hole, int binds) {
  const ArgVariant& a = arg.variant();
  const std::string name(hole.name);
  if (auto* v = std::get_if<Value>(&a)) return put_value(out, view, *v, hole, binds);
  if (auto* b = std::get_if<bool>(&a)) return void(out.literal(name, *b));
  if (auto* i = std::get_if<int64_t>(&a)) return void(out.literal(name, *i, false, binds));
  if (auto* d = std::get_if<double>(&a)) return void(out.literal(name, *d, false, binds));
  if (auto* t = std::get_if<DType>(&a)) return void(out.text("torch." + std::string(to_string(*t))));
  if (auto* s = std::get_if<std::string>(&a)) return void(out.text(python_string(*s)));
  if (auto* ints = std::get_if<std::vector<IntArg>>(&a)) return put_ints(out, view, *ints, hole);
  if (auto* ds = std::get_if<std::vector<double>>(&a))
    return put_list(out, *ds, hole.spliced, [&](double d) { out.literal(name, d); });
  if (auto* bs = std::get_if<std::vector<bool>>(&a))
    return put_list(out, *bs, hole.spliced, [&](bool b) { out.literal(name, b); });
  if (auto* vs = std::get_if<std::vector<Value>>(&a))
    return put_list(out, *vs, hole.spliced, [&](Value v) { put_value(out, view, v, hole, kLoosest); });
  out.text("None");
}

// Does the spelling speak of every argument that is given, and is every argument that it needs there?
bool fits(std::string_view spelling, const NodeView& view) {
  std::vector<std::string_view> spoken;
  bool complete = true;
  for_each_part(spelling, [&](std::string_view, const Hole* hole, size_t, size_t) {
    if (!hole) return;
    spoken.push_back(hole->name);
    if (!hole->optional && !hole->silent && hole->name != "device" && !view.node.arg(hole->name)) complete = false;
  });
  if (!complete) return false;
  return std::all_of(view.node.args.begin(), view.node.args.end(), [&](const NamedArg& a) {
    if (a.name == "device" || a.name == "layout" || a.name == "pin_memory") return true;
    return std::find(spoken.begin(), spoken.end(), a.name) != spoken.end();
  });
}

bool all_bool(const NodeView& view) {
  bool all = true;
  for_each_operand(view.node.args, [&](Value v) { all = all && view.graph.type(v).dtype == DType::Bool; });
  return all;
}

// torch.ops.aten.add.Tensor(x, y, alpha=2)
Expr fall_back(const NodeView& view) {
  std::string op = view.node.op;
  op.replace(op.find("::"), 2, ".");
  if (op.find('.', op.find('.') + 1) == std::string::npos) op += ".default";
  Expr out;
  out.text("torch.ops." + op + "(");
  bool first = true;
  for (const NamedArg& a : view.node.args) {
    if (!first) out.text(", ");
    // Only what stands first has no keyword: an argument may have been left out before the others.
    if (!first) out.text(a.name + "=");
    put_arg(out, view, a.value, Hole{.name = a.name}, kLoosest);
    first = false;
  }
  return out.text(")"), out;
}

}  // namespace

Value tensor_at_hand(const NodeView& view) {
  std::vector<const Node*> nodes{&view.node};
  for (size_t i = 0; i < nodes.size(); ++i) {
    Value found;
    for_each_operand(nodes[i]->args, [&](Value v) {
      if (!found && view.graph.type(v).kind == Kind::Tensor) found = v;
    });
    if (found) return found;
    for_each_operand(nodes[i]->args, [&](Value v) {
      if (auto it = view.index.definitions.find(v.id); it != view.index.definitions.end()) nodes.push_back(it->second);
    });
  }
  for (const Input& input : view.graph.inputs)
    if (view.graph.type(input.value).kind == Kind::Tensor) return input.value;
  return {};
}

Expr fill(std::string_view spelling, const NodeView& view, int precedence) {
  Expr out;
  out.precedence = precedence;
  for_each_part(spelling, [&](std::string_view before, const Hole* hole, size_t open, size_t close) {
    out.text(std::string(before));
    if (!hole) return;
    if (hole->name == "device") {
      if (const Value v = tensor_at_hand(view))
        out.operand(v, kAtom).text(".device");
      else
        out.text("None");
      return;
    }
    const Arg* arg = view.node.arg(hole->name);
    if (!arg || hole->silent || (hole->optional && !view.has(hole->name))) return;
    if (hole->optional) out.text(fmt::format(", {}=", hole->keyword));
    put_arg(out, view, *arg, *hole, hole->optional ? kLoosest : binding(spelling, open, close, precedence));
  });
  return out;
}

Expr spell(const NodeView& view, std::set<std::string>& helpers) {
  const OpRow* row = find_op(view.node.op);
  if (row) {
    const auto found = [&](Expr expr) {
      if (!row->helper.empty()) helpers.insert(row->helper);
      return expr;
    };
    if (row->custom)
      if (auto expr = row->custom(view)) return found(std::move(*expr));
    for (const std::string& text : row->spellings) {
      std::string_view spelling = text;
      if (spelling.starts_with("?bool ")) {
        if (!all_bool(view)) continue;
        spelling.remove_prefix(6);
      }
      // A spelling that is a call binds as one, whatever the operator form of its row does.
      const bool call = spelling.ends_with(")") && spelling.find(' ') > spelling.find('(');
      if (fits(spelling, view)) return found(fill(spelling, view, call ? kAtom : row->precedence));
    }
  }
  if (view.node.op.starts_with("midstream::"))  // of the C++ core alone; what the user registered is in every process
    throw Error(ErrorKind::Unsupported, to_string(view.graph.origin(view.node)),
                fmt::format("the operator {} has no spelling in Python.", view.node.op),
                "Add a row to src/emit/print_table_helpers.cpp");
  return fall_back(view);
}

}  // namespace midstream::emit
