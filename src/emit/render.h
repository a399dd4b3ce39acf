// Expressions as text.
#pragma once

#include "emit/code.h"

namespace midstream::emit {

// Renders the expressions of one class: operands by their names, or inlined.
class Renderer {
 public:
  Renderer(const Program& program, const Class& cls, const Module& instance);

  std::unordered_map<int32_t, std::string> names;    // values that have one
  std::unordered_map<int32_t, const Step*> inlined;  // values that are printed where they are used

  // Binds at least as tightly as `binds`.
  std::string value(Value v, int binds = kLoosest) const;
  // What a step computes; with several outputs of which `wanted` is the only one used, indexed.
  std::string step(const Step& step, Value wanted = {}, int* precedence = nullptr) const;
  std::string literal(const Piece& piece) const;
  // "self.block1.conv"; an element of a row as "self.blocks[0]".
  std::string access(int module) const;
  const Class& cls() const { return cls_; }

 private:
  std::string expr(const Expr& e) const;
  const Program& p_;
  const Class& cls_;
  const Module& instance_;
};

// A statement at `indent`, broken inside of its brackets where it is longer than the line.
std::vector<std::string> broken(const std::string& statement, size_t indent);
inline constexpr size_t kWidth = 100;

}  // namespace midstream::emit
