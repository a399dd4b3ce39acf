#include "lower/math/losses.h"

#include "lower/math/activations.h"
#include "lower/math/elementwise.h"

namespace midstream::math {

Value softmax_cross_entropy(Builder& b, Value labels, Value logits, int64_t axis) {
  Value loss = b.neg(b.sum(b.mul(labels, log_softmax(b, logits, axis)), {axis}));
  // Where labels do not add up to one, TensorFlow's kernel still says softmax - labels. The term below is zero and
  // brings the missing part of the gradient, (1 - sum(labels)) softmax.
  Value missing = b.rsub(1.0, b.sum(labels, {axis}));
  Value lse = b.call("aten::logsumexp", {{"self", logits}, {"dim", Dims{axis}}});
  Value zero = b.sub(lse, b.unary("aten::detach", lse));
  return b.add(loss, b.mul(missing, zero));
}

Value sparse_softmax_cross_entropy(Builder& b, Value labels, Value logits) {
  Value log_p = log_softmax(b, logits, -1);
  Value picked = b.call("aten::gather", {{"self", log_p}, {"dim", -1}, {"index", b.unsqueeze(labels, -1)}});
  return b.neg(b.squeeze(picked, -1));
}

Value sigmoid_cross_entropy(Builder& b, Value labels, Value logits) {
  // TensorFlow's own composition; with where, so that the gradient at 0 is sigmoid(0) - t.
  Value positive = b.compare("ge", logits, 0.0);
  Value negative = b.neg(logits);
  Value relu = where_number(b, positive, logits, 0.0);
  Value minus_abs = b.where(positive, negative, logits);
  return b.add(b.sub(relu, b.mul(logits, labels)), b.unary("aten::log1p", b.exp(minus_abs)));
}

Value binary_cross_entropy(Builder& b, Value labels, Value probabilities, double epsilon, double epsilon_in_log) {
  Value p = b.clamp(probabilities, epsilon, 1.0 - epsilon);
  Value q = b.rsub(1.0, p);
  if (epsilon_in_log != 0) {
    p = b.add(p, epsilon_in_log);
    q = b.add(q, epsilon_in_log);
  }
  Value hit = b.mul(labels, b.log(p));
  return b.neg(b.add(hit, b.mul(b.rsub(1.0, labels), b.log(q))));
}

Value categorical_cross_entropy(Builder& b, Value labels, Value probabilities, int64_t axis, double epsilon) {
  Value p = b.div(probabilities, b.sum(probabilities, {axis}, true));
  p = b.clamp(p, epsilon, 1.0 - epsilon);
  return b.neg(b.sum(b.mul(labels, b.log(p)), {axis}));
}

Value huber(Builder& b, Value y_true, Value y_pred, double delta) {
  Value error = b.sub(y_pred, y_true);
  Value size = b.abs(error);
  Value inside = b.mul(b.square(error), 0.5);
  Value outside = b.sub(b.mul(size, delta), 0.5 * delta * delta);
  return b.where(b.compare("le", size, delta), inside, outside);
}

Value log_cosh(Builder& b, Value y_true, Value y_pred) {
  Value x = b.sub(y_pred, y_true);
  // Keras takes the logarithm of 2 in float32, whatever the dtype.
  const double log2 = static_cast<double>(0.693147182f);
  return b.sub(b.add(x, softplus(b, b.mul(x, -2.0))), log2);
}

Value kl_divergence(Builder& b, Value y_true, Value y_pred, double epsilon) {
  Value t = b.clamp(y_true, epsilon, 1.0);
  Value p = b.clamp(y_pred, epsilon, 1.0);
  return b.sum(b.mul(t, b.log(b.div(t, p))), {-1});
}

Value poisson(Builder& b, Value y_true, Value y_pred, double epsilon) {
  return b.sub(y_pred, b.mul(y_true, b.log(b.add(y_pred, epsilon))));
}

namespace {
// Labels that are all 0 or 1 become -1 and 1; others stay as they are.
Value signed_labels(Builder& b, Value y_true) {
  Value binary = b.unary("aten::all", b.logical_or(b.compare("eq", y_true, 0.0), b.compare("eq", y_true, 1.0)));
  return b.where(binary, b.sub(b.mul(y_true, 2.0), 1.0), y_true);
}
}  // namespace

Value hinge(Builder& b, Value y_true, Value y_pred) {
  return maximum(b, b.rsub(1.0, b.mul(signed_labels(b, y_true), y_pred)), 0.0);
}

Value categorical_hinge(Builder& b, Value y_true, Value y_pred) {
  Value hit = b.sum(b.mul(y_true, y_pred), {-1});
  Value miss = b.amax(b.mul(b.rsub(1.0, y_true), y_pred), {-1});
  return maximum(b, b.add(b.sub(miss, hit), 1.0), 0.0);
}

}  // namespace midstream::math
