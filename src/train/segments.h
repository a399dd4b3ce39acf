// Variables, their slots and gradients as flat pieces of memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "run/variable_store.h"

namespace midstream {

// Tensors of the same memory layout, seen as vectors: a variable and its slots, or several variables joined.
struct Segment {
  std::vector<size_t> members;      // which of the variables
  std::vector<int64_t> offsets;     // where each begins in the vectors
  std::vector<at::Tensor> vectors;  // the variable first, then its slots
  int64_t size() const { return vectors[0].numel(); }
};

// The tensor as a vector in memory order; it must be dense.
at::Tensor as_vector(const at::Tensor& tensor);
// `tensor` with the sizes and the memory layout of `like`; itself where it has them.
at::Tensor in_layout_of(const at::Tensor& tensor, const at::Tensor& like);

// Groups variables (each with its slots, names in the store's table) into segments: those of at most `small` elements
// share one buffer per dtype, into which their tensors are moved; the others are segments of their own. All slots get
// the memory layout of their variable.
std::vector<Segment> make_segments(VariableStore& store, const std::vector<std::vector<std::string>>& names,
                                   int64_t small);

// A segment's part of `tensors`, which are of all variables and dense, as one vector in memory order.
at::Tensor joined(const Segment& segment, const std::vector<at::Tensor>& tensors);

}  // namespace midstream
