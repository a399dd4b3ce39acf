// Arithmetic on host integers, so that Shape -> StridedSlice -> Mul -> Pack -> Reshape never becomes tensors.
#pragma once

#include <functional>
#include <optional>

#include "lower/tensorflow/op.h"

namespace midstream::tensorflow {

// Both inputs as host integers, broadcast against each other, through `f`; nullopt when one of them is a tensor.
std::optional<HostInts> fold_binary(Op& op, const std::function<Int(const Int&, const Int&)>& f);
// A comparison: an array where all is known, of two scalars else a value of Kind::Bool. `how` is "eq", "lt", ...
std::optional<Operand> fold_compare(Op& op, const std::string& how);
// Select among host integers by a condition that is known.
std::optional<HostInts> fold_select(Op& op);

// A scalar that is a host bool or a constant one.
bool is_host_bool(Op& op, size_t i);
Value host_bool(Op& op, size_t i);
// Kind::Bool as an operand, constants as arrays.
Operand bool_operand(Builder& b, Value v);

// Elements of any tensor argument that says sizes (paddings [n, 2], say), row by row.
Ints flat_ints(Op& op, size_t i);
// The numbers of an argument that must be known: axes, permutations.
std::vector<int64_t> known_ints(Op& op, size_t i);
int64_t known_int(Op& op, size_t i);

}  // namespace midstream::tensorflow
