// Pooling as TensorFlow defines it, on channels-first values with 1 or 2 spatial axes (3 likewise). Padding is never
// counted: SAME maxima ignore it, SAME averages divide by the pixels that are there.
#pragma once

#include "lower/math/conv.h"

namespace midstream::math {

struct PoolSpec {
  std::vector<int64_t> window, strides;
  Padding padding = Padding::Valid;
  std::vector<std::pair<int64_t, int64_t>> explicit_padding;  // maxima only
};

Value max_pool(Builder& b, Value x_ncs, const PoolSpec& spec);
Value average_pool(Builder& b, Value x_ncs, const PoolSpec& spec);

}  // namespace midstream::math
