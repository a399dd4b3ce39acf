// Literals as Python writes them, and walking over steps.
#include "emit/code.h"

#include <charconv>
#include <cmath>

namespace midstream::emit {

std::string to_python(double number) {
  if (std::isnan(number)) return "float(\"nan\")";
  if (std::isinf(number)) return number > 0 ? "float(\"inf\")" : "float(\"-inf\")";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string to_python(const Literal& literal) {
  if (auto* b = std::get_if<bool>(&literal)) return *b ? "True" : "False";
  if (auto* i = std::get_if<int64_t>(&literal)) return std::to_string(*i);
  if (auto* d = std::get_if<double>(&literal)) return to_python(*d);
  const auto& list = std::get<std::vector<int64_t>>(literal);
  std::string text = "(";
  for (size_t i = 0; i < list.size(); ++i) text += (i ? ", " : "") + std::to_string(list[i]);
  return text + (list.size() == 1 ? ",)" : ")");
}

Expr& Expr::text(std::string t) {
  if (t.empty()) return *this;
  if (!pieces.empty() && pieces.back().kind == Piece::Kind::Text) {
    pieces.back().text += t;
    return *this;
  }
  Piece piece;
  piece.text = std::move(t);
  pieces.push_back(std::move(piece));
  return *this;
}

Expr& Expr::operand(Value v, int binds) {
  Piece piece;
  piece.kind = Piece::Kind::Operand;
  piece.value = v;
  piece.binds = binds;
  pieces.push_back(std::move(piece));
  return *this;
}

Expr& Expr::literal(std::string name, Literal value, bool spliced, int binds) {
  Piece piece;
  piece.kind = Piece::Kind::Literal;
  piece.text = std::move(name);
  piece.literal = std::move(value);
  piece.spliced = spliced;
  piece.binds = binds;
  pieces.push_back(std::move(piece));
  return *this;
}

namespace {

void own_uses(const Step& step, const std::function<void(Value)>& f) {
  for (const Piece& piece : step.expr.pieces)
    if (piece.kind == Piece::Kind::Operand) f(piece.value);
  if (step.condition && step.kind == Step::Kind::If) f(step.condition);
  for (const Value v : step.init) f(v);
  if (step.target) f(step.target);
  if (step.source) f(step.source);
}

void free_uses(const Step& step, std::set<int32_t>& defined, const std::function<void(Value)>& f) {
  const auto use = [&](Value v) {
    if (!defined.contains(v.id)) f(v);
  };
  own_uses(step, use);
  for (size_t i = 0; i < step.bodies.size(); ++i) {
    if (i < step.block_args.size())
      for (const Value v : step.block_args[i]) defined.insert(v.id);
    for (const Step& inner : step.bodies[i]) {
      free_uses(inner, defined, f);
      for (const Value v : inner.outputs) defined.insert(v.id);
    }
    for (const Value v : step.results[i]) use(v);
  }
}

}  // namespace

void for_each_use(const Step& step, const std::function<void(Value)>& f) {
  if (step.bodies.empty()) return own_uses(step, f);
  std::set<int32_t> defined;
  free_uses(step, defined, f);
}

void for_each_step(std::vector<Step>& steps, const std::function<void(Step&)>& f) {
  for (Step& step : steps) {
    f(step);
    for (auto& body : step.bodies) for_each_step(body, f);
  }
}

void for_each_step(const std::vector<Step>& steps, const std::function<void(const Step&)>& f) {
  for (const Step& step : steps) {
    f(step);
    for (const auto& body : step.bodies) for_each_step(body, f);
  }
}

}  // namespace midstream::emit
