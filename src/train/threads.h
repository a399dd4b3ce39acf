// How many threads a step's matrix products run in.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace midstream {

// The sizes of a graph's values and variables, where some axes are open.
class ValueSizes {
 public:
  ValueSizes() = default;
  explicit ValueSizes(const Graph& graph);
  // Elements of the largest one when every open axis is `open` long.
  int64_t largest(int64_t open) const;

 private:
  std::vector<int64_t> products_;  // [k]: the largest product of known sizes among those with k open axes
};

// MKL splits even a product of 32 x 64 by 64 x 64 among its threads, and they take longer to meet than it takes one of
// them to do all of it. While this lives, products that the calling thread asks for run in it alone, if `serial`.
// (PyTorch's own kernels go by size. Other libraries than MKL are left as they are.)
class SerialProducts {
 public:
  explicit SerialProducts(bool serial);
  ~SerialProducts();
  SerialProducts(const SerialProducts&) = delete;

  // Values of at most this many elements make products of at most 700,000 multiplications: tens of microseconds.
  static constexpr int64_t kSmall = 1 << 13;

 private:
  const bool serial_;
  int before_ = 0;
};

}  // namespace midstream
