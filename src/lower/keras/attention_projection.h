// The layers inside MultiHeadAttention and GroupedQueryAttention.
#pragma once

#include <string>

#include "lower/keras/layer.h"

namespace midstream::keras {

// x [..., features] -> [..., units...] by an inner EinsumDense whose kernel contracts x's last `kernel_in` axes.
Value project(Layer& l, const std::string& name, const std::string& attribute, Value x, const Dims& in, const Dims& out,
              bool sigmoid = false);
// Dropout of the weights, by the layer's config entries `dropout` and `seed`.
Value drop_attention(Layer& l, Value weights);

}  // namespace midstream::keras
