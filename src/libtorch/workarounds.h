// Calls of PyTorch that are kept away from because they are wrong, each made in an equivalent way.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

namespace midstream {

// PyTorch 2.13's float32 convolution on the CPU (oneDNN) writes past its memory in the backward of a 1x1 kernel with a
// stride over channels_last input of few channels: seen with 1 to 8, not with 16 or more; not in NCHW, in float64, with
// stride 1 or another kernel. What such a kernel skips is left out beforehand instead, and the stride becomes 1: the
// same sums in forward and gradient.
void avoid_strided_pointwise_conv2d(std::vector<c10::IValue>& stack);

// Changes the arguments on the stack where a call is wrong. Null for operators that need no such thing.
using Workaround = void (*)(std::vector<c10::IValue>& stack);
Workaround workaround_for(const std::string& op);

}  // namespace midstream
