// The entries that convolutions, pooling and reshaping layers have in common.
#pragma once

#include "lower/keras/layer.h"
#include "lower/math/conv.h"

namespace midstream::keras {

math::Layout layout_of(const Layer& l);    // "data_format"
math::Padding padding_of(const Layer& l);  // "padding"
// The first spatial axis.
inline int64_t first_spatial(math::Layout layout) { return layout == math::Layout::ChannelsLast ? 1 : 2; }
// The input's number of channels, which a weight's shape depends on; fails where it is unknown.
int64_t channels(const Layer& l, Value x, math::Layout layout);
// The output's size of a transposed convolution minus (input size - 1) * stride.
Ints transposed_extra(const Layer& l, const math::ConvSpec& spec, const std::vector<int64_t>& kernel);
// AdaptiveAveragePooling and AdaptiveMaxPooling: a window for each of a fixed number of outputs, of sizes that differ by
// one at most.
Tensors adaptive_pool(Layer& l, const Call& call, size_t spatial, bool maxima);
// Fails unless the input has this many axes.
void expect_rank(const Layer& l, Value x, int64_t rank);

}  // namespace midstream::keras
