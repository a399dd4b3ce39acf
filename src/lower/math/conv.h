// Convolutions as TensorFlow defines them, on channels-first values and TensorFlow's kernels. Strides, dilations and
// explicit paddings have one entry per spatial axis (1 or 2 of them; 3 for plain convolutions).
#pragma once

#include "lower/math/layout.h"

namespace midstream::math {

enum class Padding { Valid, Same, Causal, Explicit };

struct ConvSpec {
  std::vector<int64_t> strides, dilations;
  Padding padding = Padding::Valid;
  std::vector<std::pair<int64_t, int64_t>> explicit_padding;  // before, after
};

// w_sio: [spatial..., c_in / groups, c_out]; the number of groups follows from the input's channels. `bias` [c_out] may
// be null.
Value conv(Builder& b, Value x_ncs, Value w_sio, Value bias, const ConvSpec& spec);
// w_scm: [spatial..., c_in, multiplier]; bias [c_in * multiplier] may be null.
Value depthwise_conv(Builder& b, Value x_ncs, Value w_scm, Value bias, const ConvSpec& spec);
// Depthwise without bias, then 1x1: w_pointwise [1..., c_in * multiplier, c_out].
Value separable_conv(Builder& b, Value x_ncs, Value w_depthwise, Value w_pointwise, Value bias, const ConvSpec& spec);

// The gradient of a convolution with respect to its input (Conv2DBackpropInput, Conv2DTranspose).
// w_soi: [spatial..., c_out, c_in]. `extra[i]`: the output's size minus (input size - 1) * stride, per spatial axis; it
// is what does not depend on the input where the output's size is given by a formula.
Value conv_transpose(Builder& b, Value x_ncs, Value w_soi, Value bias, const ConvSpec& spec, const Ints& extra);

// What TensorFlow's SAME adds before and after an axis of size n.
struct PadPair {
  Int before, after;
};
PadPair same_padding(const Int& n, int64_t kernel, int64_t stride, int64_t dilation);

}  // namespace midstream::math
