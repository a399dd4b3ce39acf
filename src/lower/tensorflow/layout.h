// Reading the attributes that convolutions and pooling share: data_format, strides, padding.
#pragma once

#include "lower/math/conv.h"
#include "lower/tensorflow/op.h"

namespace midstream::tensorflow {

math::Layout layout_of(const Op& op);  // data_format; NHWC or NDHWC when absent
// The spatial entries of an attribute with one number per axis; all 1 when absent.
std::vector<int64_t> spatial(const Op& op, const std::vector<int64_t>& per_axis, size_t axes);
math::Padding padding_of(const Op& op);
std::vector<std::pair<int64_t, int64_t>> explicit_padding(const Op& op, size_t axes);
math::ConvSpec conv_spec(const Op& op, size_t axes);

}  // namespace midstream::tensorflow
