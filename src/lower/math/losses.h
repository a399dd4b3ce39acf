// Losses as TensorFlow's kernels compute them, before any reduction over samples.
#pragma once

#include "graph/builder.h"

namespace midstream::math {

// tf.nn.softmax_cross_entropy_with_logits. Its registered gradient is softmax(logits) - labels whatever the labels add
// up to, and so is this one's.
Value softmax_cross_entropy(Builder& b, Value labels, Value logits, int64_t axis = -1);
// tf.nn.sparse_softmax_cross_entropy_with_logits: labels int64 [...], logits [..., c].
Value sparse_softmax_cross_entropy(Builder& b, Value labels, Value logits);
// tf.nn.sigmoid_cross_entropy_with_logits, stable at both ends.
Value sigmoid_cross_entropy(Builder& b, Value labels, Value logits);
// -(t log(p + e) + (1 - t) log(1 - p + e)), p clipped to [epsilon, 1 - epsilon].
Value binary_cross_entropy(Builder& b, Value labels, Value probabilities, double epsilon, double epsilon_in_log);
// -sum(t log(p / sum(p))) along axis, clipped.
Value categorical_cross_entropy(Builder& b, Value labels, Value probabilities, int64_t axis, double epsilon);

Value huber(Builder& b, Value y_true, Value y_pred, double delta);  // elementwise
Value log_cosh(Builder& b, Value y_true, Value y_pred);             // elementwise
Value kl_divergence(Builder& b, Value y_true, Value y_pred, double epsilon);
Value poisson(Builder& b, Value y_true, Value y_pred, double epsilon);  // elementwise
// max(1 - t p, 0) where labels of 0 and 1 count as -1 and 1.
// labels int64 [batch, count], where 0 ends the sequence, logits [batch, time, classes], class 0 the blank -> [batch].
Value ctc(Builder& b, Value labels, Value logits);
Value hinge(Builder& b, Value y_true, Value y_pred);
Value categorical_hinge(Builder& b, Value y_true, Value y_pred);

}  // namespace midstream::math
