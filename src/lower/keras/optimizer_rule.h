// What the optimizers' rules share.
#pragma once

#include "lower/keras/config.h"
#include "lower/keras/training.h"

namespace midstream::keras {

// Which Keras wrote the rule: they differ in rounding, in sparse gradients and (legacy) in formulas.
enum class Era { Keras3, Keras2, Legacy };  // Keras2: tf.keras 2.11 and later; Legacy: OptimizerV2 and before
// From config["rules"], see frontend/keras/canonical.h.
Era era_of(const json& config);

// A Python float that Keras passes through ops.cast: float32 on its way, even to float64 (facts.md A).
inline double through_float32(double v) { return static_cast<double>(static_cast<float>(v)); }

// The gradient as a dense tensor shaped like `variable`: occurrences summed in their order, from zero, as TensorFlow
// converts IndexedSlices.
Value dense(Builder& b, Value variable, const Gradient& g);
// The same of values made from the occurrences one by one (their squares, say).
Value dense(Builder& b, Value variable, const Gradient& g, Value values);
// variable + values, occurrence by occurrence (scatter_add) when the gradient is slices.
Value scatter_add(Builder& b, Value variable, const Gradient& g, Value values);
// Rows of `table` for each occurrence; the table itself for a dense gradient.
Value at_occurrences(Builder& b, Value table, const Gradient& g);
// where(row is hit by the gradient, updated, old); `updated` for a dense gradient.
Value only_hit_rows(Builder& b, const Gradient& g, Value updated, Value old);

// step + n in the variables' dtype.
Value step_after(Builder& b, Value step, int64_t n, DType dtype);
Value power(Builder& b, double base, Value exponent);  // C library's pow, 0-d
// The correctly rounded root, as TensorFlow's: aten::sqrt may be off in the last bit of a float64.
Value exact_sqrt(Builder& b, Value v);

}  // namespace midstream::keras
