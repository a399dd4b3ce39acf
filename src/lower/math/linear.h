// Dense products with a weight.
#pragma once

#include "graph/builder.h"

namespace midstream::math {

// x @ w_io + bias over the last axis; w_io [in, out], bias [out] or null.
Value linear(Builder& b, Value x, Value w_io, Value bias);
// Rows of a table [n, features] by integer indices of any shape; the gradient is one row per occurrence. With
// `wrap_negative`, -1 is the last row (Keras 3); otherwise an index outside of [0, n) is an error, as in TensorFlow.
Value embedding(Builder& b, Value table, Value indices, bool wrap_negative);

}  // namespace midstream::math
