// Activation functions as TensorFlow and Keras compute them, with their gradients: at the kinks (0, +-3, the
// thresholds) too, where aten's ready-made function differs from Keras' own composition.
#pragma once

#include <optional>

#include "graph/builder.h"

namespace midstream::math {

Value relu(Builder& b, Value x);
Value relu6(Builder& b, Value x);
// Keras' relu with all its options; `max_value` absent: unbounded.
struct ReluOptions {
  double negative_slope = 0;
  std::optional<double> max_value;
  double threshold = 0;
  bool float32_limits = true;  // Keras 3: max_value and threshold pass through float32
};
Value relu(Builder& b, Value x, const ReluOptions& options);
Value leaky_relu(Builder& b, Value x,
                 double negative_slope);  // the slope goes through float32, as an attribute of the op
Value prelu(Builder& b, Value x, Value alpha);
Value elu(Builder& b, Value x, double alpha = 1);
Value selu(Builder& b, Value x);
Value celu(Builder& b, Value x, double alpha = 1);
Value gelu(Builder& b, Value x, bool approximate);
Value sigmoid(Builder& b, Value x);
Value tanh(Builder& b, Value x);
Value silu(Builder& b, Value x);
Value softplus(Builder& b, Value x);
Value softsign(Builder& b, Value x);
Value mish(Builder& b, Value x);
Value hard_sigmoid(Builder& b, Value x);         // Keras 3: relu6(x + 3) / 6
Value hard_sigmoid_keras2(Builder& b, Value x);  // Keras 1 and 2: clip(0.2 x + 0.5, 0, 1)
Value hard_silu(Builder& b, Value x);
Value hard_tanh(Builder& b, Value x);
Value hard_shrink(Builder& b, Value x, double threshold = 0.5);
Value soft_shrink(Builder& b, Value x, double threshold = 0.5);
Value tanh_shrink(Builder& b, Value x);
Value threshold(Builder& b, Value x, double threshold, double otherwise);
Value log_sigmoid(Builder& b, Value x);
Value sparse_sigmoid(Builder& b, Value x);
Value sparse_plus(Builder& b, Value x);
Value squareplus(Builder& b, Value x, double bias = 4);
Value glu(Builder& b, Value x, int64_t axis = -1);
Value softmax(Builder& b, Value x, int64_t axis = -1);
Value log_softmax(Builder& b, Value x, int64_t axis = -1);
Value sparsemax(Builder& b, Value x, int64_t axis = -1);

}  // namespace midstream::math
