// Batch and layer normalization, and the moments they are made of.
#pragma once

#include "graph/builder.h"

namespace midstream::math {

struct Moments {
  Value mean, variance;  // variance: biased
};
// tf.nn.moments; axes positive.
Moments moments(Builder& b, Value x, const std::vector<int64_t>& axes, bool keepdims);

// (x - mean) * scale / sqrt(variance + epsilon) + offset (tf.nn.batch_normalization); all broadcast against x, scale
// and offset may be null.
Value normalize(Builder& b, Value x, Value mean, Value variance, Value scale, Value offset, double epsilon);

// What goes into the moving variance is biased * n / (n - correction), n elements per channel: 0 is the biased
// variance, 1 the unbiased one.
struct BatchNormSpec {
  double epsilon = 1e-3;
  double momentum = 0.99;  // Keras' meaning: new = old * momentum + batch * (1 - momentum)
  double correction = 0;
};
struct BatchNorm {
  Value y, mean, variance;  // the new moving statistics
};
// Channels are axis 1; gamma and beta may be null. Without moving statistics the batch's own come back.
BatchNorm batch_norm_training(Builder& b, Value x_ncs, Value gamma, Value beta, Value moving_mean,
                              Value moving_variance, const BatchNormSpec& spec);
Value batch_norm_inference(Builder& b, Value x_ncs, Value gamma, Value beta, Value mean, Value variance,
                           double epsilon);

// Over `axes` (sorted, positive); gamma and beta have the sizes of these axes, or are null.
Value layer_norm(Builder& b, Value x, const std::vector<int64_t>& axes, Value gamma, Value beta, double epsilon);
// The channels (axis 1) in groups of neighbours, each over its pixels; gamma and beta [channels] may be null.
Value group_norm(Builder& b, Value x_ncs, int64_t groups, Value gamma, Value beta, double epsilon);
// x * gamma / sqrt(variance + epsilon): what Keras calls rms_scaling (the mean is not subtracted).
Value variance_scaling(Builder& b, Value x, const std::vector<int64_t>& axes, Value gamma, double epsilon);
// x / sqrt(mean(x^2) + epsilon), the mean over `axes`.
Value rms_norm(Builder& b, Value x, const std::vector<int64_t>& axes, double epsilon);

}  // namespace midstream::math
