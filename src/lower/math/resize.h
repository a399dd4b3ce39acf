// Resizing images as tf.image.resize does it (half-pixel centres).
#pragma once

#include "graph/builder.h"

namespace midstream::math {

enum class Interpolation { Nearest, Bilinear, Bicubic, Area, Lanczos3, Lanczos5, Gaussian, MitchellCubic };
// "nearest", ...; fails naming the entry for an unknown one.
Interpolation parse_interpolation(Builder& b, const std::string& name);

// Every pixel `times` times along `axis` (tf.repeat with one number).
Value repeat(Builder& b, Value x, int64_t axis, int64_t times);
// tf.image.resize(x_nchw, size)
Value resize(Builder& b, Value x_nchw, const Ints& size, Interpolation interpolation, bool antialias = false);

}  // namespace midstream::math
