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
// Fails unless the input has this many axes.
void expect_rank(const Layer& l, Value x, int64_t rank);

}  // namespace midstream::keras
