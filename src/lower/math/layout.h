// Where the channels are. Values keep the source's logical layout; inside a convolution or pooling the channels come
// first, as PyTorch's kernels want them. Both turns are permuted views: the memory stays channels-last, no data moves.
#pragma once

#include "graph/builder.h"

namespace midstream::math {

enum class Layout { ChannelsLast, ChannelsFirst };

// [N, spatial..., C] (or already [N, C, spatial...]) -> [N, C, spatial...]
Value to_channels_first(Builder& b, Value x, Layout layout);
// The way back.
Value from_channels_first(Builder& b, Value x_ncs, Layout layout);

// A vector [C] shaped to broadcast along axis `axis` of a tensor with `rank` axes; itself where that is the last one.
Value along_axis(Builder& b, Value vector, int64_t axis, int64_t rank);
// x + bias, bias being a vector of channels (tf.nn.bias_add).
Value bias_add(Builder& b, Value x, Value bias, Layout layout);

// Negative axes counted from the end; fails when the tensor has no such axis.
int64_t axis_of(Builder& b, Value x, int64_t axis);
std::vector<int64_t> axes_of(Builder& b, Value x, std::vector<int64_t> axes);  // sorted

// A Python float that TensorFlow passes through float32 even where it computes in float64 (an op's attribute of type
// float; Keras' ops.cast): rounded for a float64 tensor, as it is for any other.
double through_float32(Builder& b, Value x, double number);

}  // namespace midstream::math
