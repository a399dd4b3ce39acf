// Elementwise formulas in which TensorFlow and aten part ways at ties, zeros and edges. Forward and gradient are one
// contract here.
#pragma once

#include "graph/builder.h"

namespace midstream::math {

// tf.maximum / tf.minimum: where the two are equal the whole gradient goes to x (aten::maximum halves it).
Value maximum(Builder& b, Value x, Value y);
Value minimum(Builder& b, Value x, Value y);
// The same against a number: aten::clamp_min passes the gradient at the edge, as TensorFlow does.
Value maximum(Builder& b, Value x, double y);
Value minimum(Builder& b, Value x, double y);

// tf.math.divide_no_nan: 0 where y is 0, and no gradient there.
Value divide_no_nan(Builder& b, Value x, Value y);
// tf.math.rsqrt
Value rsqrt(Builder& b, Value x);
// x / sqrt(max(sum(x^2), epsilon)) along `axis` (tf.nn.l2_normalize).
Value l2_normalize(Builder& b, Value x, int64_t axis, double epsilon);
Value l2_normalize(Builder& b, Value x, const std::vector<int64_t>& axes, double epsilon);
// x * min(1 / sqrt(sum(x^2)), bound): what Keras 3 has in its place. No gradient but the factor's where the bound
// holds.
Value l2_normalize_bounded(Builder& b, Value x, const std::vector<int64_t>& axes, double bound);
// where(condition, x, number) with the number in x's dtype.
Value where_number(Builder& b, Value condition, Value x, double otherwise);

}  // namespace midstream::math
