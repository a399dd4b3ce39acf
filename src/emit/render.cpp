#include "emit/render.h"

#include <algorithm>

namespace midstream::emit {

Renderer::Renderer(const Program& program, const Class& cls, const Module& instance)
    : p_(program), cls_(cls), instance_(instance) {}

std::string Renderer::literal(const Piece& piece) const {
  if (piece.param >= 0)
    return (piece.spliced ? "*self." : "self.") + cls_.params[static_cast<size_t>(piece.param)].name;
  std::string text = to_python(piece.literal);
  if (piece.spliced && text.starts_with("(")) {
    text = text.substr(1, text.size() - 2);
    if (text.ends_with(",")) text.pop_back();
  }
  return text.starts_with("-") && piece.binds > kUnary ? "(" + text + ")" : text;
}

std::string Renderer::access(int module) const {
  const std::function<std::string(const Module&, const std::vector<std::string>*, const std::string&)> find =
      [&](const Module& m, const std::vector<std::string>* attributes, const std::string& prefix) -> std::string {
    for (size_t i = 0; i < m.children.size(); ++i) {
      const std::string here = attributes ? prefix + "." + (*attributes)[i] : prefix + "[" + std::to_string(i) + "]";
      if (m.children[i] == module) return here;
      const Module& child = p_.modules[static_cast<size_t>(m.children[i])];
      const auto* inner = child.cls >= 0 ? &p_.classes[static_cast<size_t>(child.cls)].attributes : nullptr;
      if (std::string found = find(child, inner, here); !found.empty()) return found;
    }
    return {};
  };
  return find(instance_, &cls_.attributes, "self");
}

std::string Renderer::value(Value v, int binds) const {
  if (const auto name = names.find(v.id); name != names.end()) return name->second;
  if (const auto it = inlined.find(v.id); it != inlined.end()) {
    int precedence = kAtom;
    const std::string text = step(*it->second, v, &precedence);
    return precedence < binds ? "(" + text + ")" : text;
  }
  const ValueInfo& info = p_.graph->info(v);
  if (info.leaf == LeafKind::Training) return "self.training";
  if (info.leaf == LeafKind::Constant && info.type.kind != Kind::Tensor) {
    const Array& array = p_.graph->constants[static_cast<size_t>(info.index)];
    if (info.type.kind == Kind::Bool) return array.to_int64()[0] != 0 ? "True" : "False";
    return info.type.kind == Kind::Int ? std::to_string(array.to_int64()[0]) : to_python(array.to_double()[0]);
  }
  if (const Leaf* leaf = p_.leaf(v)) return access(leaf->module) + (leaf->key.empty() ? "" : "." + leaf->key);
  return "x";  // only while lengths are estimated
}

std::string Renderer::expr(const Expr& e) const {
  std::string out;
  for (const Piece& piece : e.pieces) {
    if (piece.kind == Piece::Kind::Text)
      out += piece.text;
    else if (piece.kind == Piece::Kind::Literal)
      out += literal(piece);
    else
      out += value(piece.value, piece.binds);
  }
  return out;
}

std::string Renderer::step(const Step& step, Value wanted, int* precedence) const {
  std::string text = expr(step.expr);
  int binds = step.expr.precedence;
  if (step.kind == Step::Kind::Module) {
    text = access(step.module) + "(" + text + ")";
    binds = kAtom;
  }
  if (wanted && (step.outputs.size() > 1 || !step.result.empty())) {
    const auto at = std::find(step.outputs.begin(), step.outputs.end(), wanted) - step.outputs.begin();
    text = (binds < kAtom ? "(" + text + ")" : text) + "[" + std::to_string(at) + "]";
    binds = kAtom;
  }
  if (precedence) *precedence = binds;
  return text;
}

namespace {

// The arguments between the brackets at open and close, cut at the commas of the outermost level.
std::vector<std::string> arguments(const std::string& text) {
  std::vector<std::string> out(1);
  int depth = 0;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (!quoted && (c == '(' || c == '[')) ++depth;
    if (!quoted && (c == ')' || c == ']')) --depth;
    if (c == ',' && depth == 0 && !quoted) {
      out.emplace_back();
      continue;
    }
    if (c == ' ' && out.back().empty()) continue;
    out.back() += c;
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

}  // namespace

std::vector<std::string> broken(const std::string& statement, size_t indent) {
  const std::string pad(indent, ' ');
  if (indent + statement.size() <= kWidth) return {pad + statement};
  // The last bracket that the statement closes with.
  size_t open = std::string::npos, close = statement.find_last_of(")]");
  int depth = 0;
  for (size_t i = close; close != std::string::npos && i + 1 > 0; --i) {
    if (statement[i] == ')' || statement[i] == ']') ++depth;
    if ((statement[i] == '(' || statement[i] == '[') && --depth == 0) {
      open = i;
      break;
    }
  }
  if (open == std::string::npos || close == open + 1) return {pad + statement};
  const std::string inside = statement.substr(open + 1, close - open - 1);
  std::vector<std::string> out{pad + statement.substr(0, open + 1)};
  const std::vector<std::string> parts = arguments(inside);
  if (indent + 4 + inside.size() <= kWidth || parts.size() < 2) {
    for (const std::string& line : broken(inside, indent + 4)) out.push_back(line);
  } else {
    for (const std::string& part : parts)
      for (const std::string& line : broken(part + ",", indent + 4)) out.push_back(line);
  }
  out.push_back(pad + statement.substr(close));
  return out;
}

}  // namespace midstream::emit
