// Invertible re-arrangements between the array in the user's file (TensorFlow's layout) and the tensor that PyTorch's
// operators want. A variable carries a chain of them; gradients, optimizer slots and write-back follow from it.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/array.h"

namespace midstream {

struct Permute {
  std::vector<int64_t> perm;  // as numpy.transpose
  friend bool operator==(const Permute&, const Permute&) = default;
};
struct Reshape {
  Dims from, to;  // both complete
  friend bool operator==(const Reshape&, const Reshape&) = default;
};
struct Flip {
  std::vector<int64_t> axes;
  friend bool operator==(const Flip&, const Flip&) = default;
};
// Cuts axis `axis` into `order.size()` equal blocks and puts them in a new order: out block i is in block order[i].
// (Keras' GRU gates z, r, h are torch's r, z, n: {axis, {1, 0, 2}}.)
struct Blocks {
  int64_t axis;
  std::vector<int64_t> order;
  friend bool operator==(const Blocks&, const Blocks&) = default;
};

using Transform = std::variant<Permute, Reshape, Flip, Blocks>;
using Transforms = std::vector<Transform>;

Transform inverse(const Transform& t);
Transforms inverse(const Transforms& chain);
Dims apply(const Transform& t, const Dims& dims);
Dims apply(const Transforms& chain, Dims dims);
// A new array (row-major) with the chain applied; the same array for an empty chain.
Array apply(const Transforms& chain, const Array& array);
// "permute(2, 3, 0, 1) reshape([3, 3, 8, 1] -> [8, 1, 3, 3])"
std::string to_string(const Transforms& chain);
// Reads what to_string wrote; throws Error(BadFile).
Transforms parse_transforms(const std::string& text);

}  // namespace midstream
