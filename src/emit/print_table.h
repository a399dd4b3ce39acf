// How operators are spelt in Python: the one place of this room that knows them. Three tables:
//   operators   aten::relu -> "F.relu({self})"                         print_table_ops.cpp, print_table_shape.cpp
//   modules     aten::conv2d of variables -> nn.Conv2d(...)             print_table_modules.cpp, ..._recurrent.cpp
//   helpers     what PyTorch has no spelling for: a Python definition  print_table_helpers.cpp
//               that is printed once, where used
// An aten operator without a row is printed as torch.ops.aten.<name>.<overload>(...), which is always right.
//
// A spelling is Python text with holes:
//   {name}       the argument; a list is printed as a tuple
//   {*name}      a list without its parentheses
//   {name%}      a list of equal numbers as one number: 3 for (3, 3)
//   {name~}      a 0-d constant may stand here as a plain number
//   {, name}     ", name=value", left out where the argument has its default; {, dim=axis} prints another keyword
//   {-name}      nothing, but the argument is spoken of
//   {device}     ".device" of a tensor at hand
// A row has several spellings where arguments decide: the first one that speaks of every argument given is taken. One
// that starts with "?bool " is only for operands that are all bool.
#pragma once

#include <functional>

#include "emit/node_view.h"

namespace midstream::emit {

struct OpRow {
  std::string op;
  std::vector<std::string> spellings;
  int precedence = kAtom;
  std::string helper = {};
  // Tried before the spellings; nothing: they decide.
  std::optional<Expr> (*custom)(const NodeView&) = nullptr;
};

// A module that computes what a node does, and trains the same.
struct Raised {
  std::string type;  // "nn.Conv2d", or a class of print_table_helpers.cpp
  std::vector<CtorArg> args;
  struct Tensor {
    std::string key;
    Value value;  // must be a variable; null: this module has none
    bool buffer = false;
  };
  std::vector<Tensor> tensors;
  std::string call = "{input}";  // a spelling
  Value operand;                 // what it is called with, where that is none of the node's arguments
  std::string result;            // Step::result
  bool heavy = false;
  std::string helper;  // to print; empty: none
  std::string comment;
};
using RaiseFn = std::optional<Raised> (*)(const NodeView&);
struct ModuleRow {
  std::string_view op;
  RaiseFn raise;
};

// `if training` regions that are one module. The then branch is one call, whose view `raise` sees; the else branch is
// one call that agrees with it in `same`, or hands the module's operand through (argument `passes`, or
// Raised::operand).
struct RegionRow {
  std::string_view then_op, else_op;
  std::vector<std::string_view> same;
  std::string_view passes;
  // (argument, output): the variable is assigned that output, in training only.
  std::vector<std::pair<std::string_view, int>> assigns;
  RaiseFn raise;
  bool random = false;  // not with exact_random
};

const OpRow* find_op(std::string_view op);
std::vector<const ModuleRow*> find_modules(std::string_view op);
const std::vector<RegionRow>& region_rows();
// A Python definition, without blank lines around it, and the helpers that it needs in turn.
struct HelperText {
  std::string name, source;
  std::vector<std::string> needs;
};
const HelperText* find_helper(const std::string& name);

// The expression of a call by its row, or by the fallback. Throws Error(Unsupported) for an operator of ours without
// row. Adds the helper it needs to `helpers`.
Expr spell(const NodeView& view, std::set<std::string>& helpers);
// A spelling filled in.
Expr fill(std::string_view spelling, const NodeView& view, int precedence = kAtom);

// A tensor whose device (and perhaps dtype) the result has: an operand, or what the operands' sizes were taken of.
Value tensor_at_hand(const NodeView& view);

// The rows of each file.
std::vector<OpRow> operator_rows();
std::vector<OpRow> shape_rows();
std::vector<OpRow> own_rows();
std::vector<OpRow> image_rows();
std::vector<ModuleRow> layer_rows();
std::vector<ModuleRow> recurrent_rows();
std::vector<HelperText> recurrent_helpers();
std::vector<HelperText> image_helpers();

}  // namespace midstream::emit
