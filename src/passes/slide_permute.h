// How a permute slides through one call: op(permute(u, p), ...) = permute(op'(u, ...), q). Which kind of
// operator it is, its schema says (pointwise, axes).
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "graph/dialect.h"
#include "graph/graph.h"

namespace midstream {

using Perm = std::vector<int64_t>;

// A value that is `source` permuted.
struct Permuted {
  Value source;
  Perm perm;
};

bool is_identity(const Perm& perm);
Perm inverse_perm(const Perm& perm);
// permute(permute(x, first), second) = permute(x, compose(first, second))
Perm compose(const Perm& first, const Perm& second);

struct Slid {
  Args args;   // of the same operator, on the sources
  Perm after;  // its result, permuted by this, is the old result
};

// What the rules ask of the pass.
struct SlideContext {
  const Graph& graph;
  // How a value came about by a permute, if it did.
  std::function<std::optional<Permuted>(Value)> permuted;
  // Does permute(v, perm) cost nothing new: does it exist already, or is v a variable or constant?
  std::function<bool(Value, const Perm&)> can_permute;
  std::function<Value(Value, const Perm&)> permute;
  std::function<Value(Value, const Dims&)> reshape;
};

std::optional<Slid> slide(const SlideContext& context, const Schema& schema, const Node& node);

}  // namespace midstream
