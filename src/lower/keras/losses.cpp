// Keras' losses: the options of each, around the formulas of lower/math/losses.
#include "lower/keras/losses.h"

#include <fmt/format.h>

#include "lower/keras/config.h"
#include "lower/keras/reduction.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/math/losses.h"
#include "lower/registry.h"

namespace midstream::keras {

Value logits_behind(Builder& b, Value y_pred, const std::string& activation) {
  for (auto it = b.graph().body.nodes.rbegin(); it != b.graph().body.nodes.rend(); ++it) {
    const Node& node = **it;
    if (node.outputs.size() != 1 || node.outputs[0] != y_pred) continue;
    if (node.op == "aten::detach") {  // metrics see the predictions without their history
      Value logits = logits_behind(b, std::get<Value>(node.arg("self")->variant()), activation);
      return logits ? b.unary("aten::detach", logits) : logits;
    }
    bool softmax = node.op == "aten::softmax.int" || node.op == "aten::_softmax";
    bool sigmoid = node.op == "aten::sigmoid";
    if ((activation == "softmax" && softmax) || (activation == "sigmoid" && sigmoid))
      return std::get<Value>(node.arg("self")->variant());
    return {};
  }
  return {};
}

namespace {

using Formula = Value (*)(Builder&, Value, Value);

// A loss that averages an elementwise formula over the last axis.
LossFn mean_of(Formula formula) {
  return [formula](Builder& b, const json&, const Rules&, Value t, Value p) -> Losses {
    return {b.mean(formula(b, b.cast(t, b.dtype(p)), p), {-1}), {}};
  };
}

Value squared_error(Builder& b, Value t, Value p) { return b.square(b.sub(t, p)); }
Value absolute_error(Builder& b, Value t, Value p) { return b.abs(b.sub(t, p)); }
Value squared_hinge(Builder& b, Value t, Value p) { return b.square(math::hinge(b, t, p)); }

Losses percentage_error(Builder& b, const json&, const Rules& rules, Value t, Value p) {
  t = b.cast(t, b.dtype(p));
  Value share = b.abs(b.div(b.sub(t, p), math::maximum(b, b.abs(t), rules.epsilon)));
  return {b.mul(b.mean(share, {-1}), 100.0), {}};
}

Losses logarithmic_error(Builder& b, const json&, const Rules& rules, Value t, Value p) {
  // Keras 3 makes a float32 of epsilon here.
  double epsilon = rules.float32_factors ? static_cast<double>(static_cast<float>(rules.epsilon)) : rules.epsilon;
  auto log = [&](Value v) { return b.log(b.add(math::maximum(b, v, epsilon), 1.0)); };
  return {b.mean(b.square(b.sub(log(p), log(b.cast(t, b.dtype(p))))), {-1}), {}};
}

Losses huber(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  double delta = number(config, "delta", 1.0);
  if (rules.float32_delta) delta = math::through_float32(b, p, delta);
  return {b.mean(math::huber(b, b.cast(t, b.dtype(p)), p, delta), {-1}), {}};
}

Losses kl_divergence(Builder& b, const json&, const Rules& rules, Value t, Value p) {
  return {math::kl_divergence(b, b.cast(t, b.dtype(p)), p, rules.epsilon), {}};
}

Losses poisson(Builder& b, const json&, const Rules& rules, Value t, Value p) {
  return {b.mean(math::poisson(b, b.cast(t, b.dtype(p)), p, rules.epsilon), {-1}), {}};
}

Losses categorical_hinge(Builder& b, const json&, const Rules&, Value t, Value p) {
  return {math::categorical_hinge(b, b.cast(t, b.dtype(p)), p), {}};
}

Value normalized(Builder& b, const Rules& rules, Value v, int64_t axis) {
  if (rules.floored_norm) return math::l2_normalize(b, v, axis, 1e-12);
  Value inverse = math::rsqrt(b, b.sum(b.square(v), {axis}, true));
  return b.mul(v, math::minimum(b, inverse, 1.0 / rules.epsilon));
}

Losses cosine_similarity(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  int64_t axis = integer(config, "axis", -1);
  t = b.cast(t, b.dtype(p));
  return {b.neg(b.sum(b.mul(normalized(b, rules, t, axis), normalized(b, rules, p, axis)), {axis})), {}};
}

// t (1 - s) + s / classes
Value smoothed(Builder& b, const json& config, const Rules& rules, Value t) {
  double s = number(config, "label_smoothing", 0.0);
  if (s == 0) return t;
  int64_t axis = rules.smooth_by_class_axis ? integer(config, "axis", -1) : -1;
  Int classes = b.size(t, axis);
  if (!classes.is_constant()) b.fail(ErrorKind::Unsupported, "label smoothing needs a known number of classes.");
  return b.add(b.mul(t, 1.0 - s), s / static_cast<double>(classes.constant()));
}

Losses categorical_crossentropy(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  int64_t axis = integer(config, "axis", -1);
  t = smoothed(b, config, rules, b.cast(t, b.dtype(p)));
  Value logits = logits_behind(b, p, "softmax");
  if (!logits && flag(config, "from_logits", false)) logits = p;
  if (logits) return {math::softmax_cross_entropy(b, t, logits, axis), {}};
  return {math::categorical_cross_entropy(b, t, p, axis, rules.epsilon), {}};
}

// Class indices [..., ] of predictions [..., c]: an axis of size one at the end is dropped.
Value class_indices(Builder& b, Value t, Value p) {
  const Dims labels = b.dims(t), predictions = b.dims(p);
  if (labels.size() == predictions.size() && labels.back() == 1) t = b.squeeze(t, -1);
  if (b.rank(t) + 1 != b.rank(p))
    throw Error(ErrorKind::BadData, "",
                fmt::format("the labels have the shape {}, and a sparse loss wants one class index for each of the "
                            "predictions {}.",
                            to_string(labels), to_string(predictions)),
                labels.size() == predictions.size() && labels.back() == predictions.back()
                    ? "One-hot labels go with the loss that has no 'sparse' in its name (--loss "
                      "categorical_crossentropy); or give y.argmax(-1)."
                    : "Give the indices with the axes of the predictions before the last one.");
  return b.cast(t, DType::Int64);
}

Losses sparse_categorical_crossentropy(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  int64_t axis = integer(config, "axis", -1), rank = b.rank(p);
  Value logits = logits_behind(b, p, "softmax");
  bool ignores = has(config, "ignore_class");
  // Keras 3 has by then put a where() between the activation and the loss.
  if (ignores && rules.ignored_before_logits) logits = {};
  if (!logits && flag(config, "from_logits", false)) logits = p;
  if (!logits) logits = b.log(b.clamp(p, rules.epsilon, 1.0 - rules.epsilon));
  if (axis != -1 && axis != rank - 1) {
    std::vector<int64_t> last;
    for (int64_t i = 0; i < rank; ++i)
      if (i != (axis + rank) % rank) last.push_back(i);
    last.push_back((axis + rank) % rank);
    logits = b.permute(logits, last);
  }
  t = class_indices(b, t, logits);
  if (!ignores) return {math::sparse_softmax_cross_entropy(b, t, logits), {}};
  Value valid = b.compare("ne", t, static_cast<double>(integer(config, "ignore_class", 0)));
  Value safe = b.where(valid, t, b.zeros_like(t));
  Value loss = math::sparse_softmax_cross_entropy(b, safe, logits);
  return {math::where_number(b, valid, loss, 0.0), valid};
}

Losses binary_crossentropy(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  t = b.cast(t, b.dtype(p));
  if (double s = number(config, "label_smoothing", 0.0); s != 0) t = b.add(b.mul(t, 1.0 - s), 0.5 * s);
  Value logits = logits_behind(b, p, "sigmoid");
  if (!logits && flag(config, "from_logits", false)) logits = p;
  Value loss = logits ? math::sigmoid_cross_entropy(b, t, logits)
                      : math::binary_cross_entropy(b, t, p, rules.epsilon, rules.epsilon_in_log ? rules.epsilon : 0.0);
  return {b.mean(loss, {integer(config, "axis", -1)}), {}};
}

Value power(Builder& b, Value v, double exponent) {
  if (exponent == 2.0) return b.square(v);
  return b.call("aten::pow.Tensor_Scalar", {{"self", v}, {"exponent", exponent}});
}

Losses categorical_focal_crossentropy(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  int64_t axis = integer(config, "axis", -1);
  t = smoothed(b, config, rules, b.cast(t, b.dtype(p)));
  if (flag(config, "from_logits", false)) p = b.call("aten::softmax.int", {{"self", p}, {"dim", axis}});
  p = b.div(p, b.sum(p, {axis}, true));
  p = b.clamp(p, rules.epsilon, 1.0 - rules.epsilon);
  Value cross_entropy = b.neg(b.mul(t, b.log(p)));
  Value weight = b.mul(power(b, b.rsub(1.0, p), number(config, "gamma", 2.0)), number(config, "alpha", 0.25));
  return {b.sum(b.mul(weight, cross_entropy), {axis}), {}};
}

Losses binary_focal_crossentropy(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  t = b.cast(t, b.dtype(p));
  if (double s = number(config, "label_smoothing", 0.0); s != 0) t = b.add(b.mul(t, 1.0 - s), 0.5 * s);
  Value logits = logits_behind(b, p, "sigmoid");
  if (flag(config, "from_logits", false)) {
    // Keras 3 takes the sigmoid here, and the crossentropy then finds the logits behind it; so does Keras 2's.
    logits = p;
    p = b.unary("aten::sigmoid", p);
  }
  Value cross_entropy =
      logits ? math::sigmoid_cross_entropy(b, t, logits)
             : math::binary_cross_entropy(b, t, p, rules.epsilon, rules.epsilon_in_log ? rules.epsilon : 0.0);
  Value hit = b.add(b.mul(t, p), b.mul(b.rsub(1.0, t), b.rsub(1.0, p)));
  Value loss = b.mul(power(b, b.rsub(1.0, hit), number(config, "gamma", 2.0)), cross_entropy);
  if (flag(config, "apply_class_balancing", false)) {
    double alpha = number(config, "alpha", 0.25);
    loss = b.mul(b.add(b.mul(t, alpha), b.mul(b.rsub(1.0, t), 1.0 - alpha)), loss);
  }
  return {b.mean(loss, {integer(config, "axis", -1)}), {}};
}

}  // namespace

void register_losses(Registry& r) {
  r.losses.add("BinaryCrossentropy", binary_crossentropy);
  r.losses.add("BinaryFocalCrossentropy", binary_focal_crossentropy);
  r.losses.add("CategoricalCrossentropy", categorical_crossentropy);
  r.losses.add("CategoricalFocalCrossentropy", categorical_focal_crossentropy);
  r.losses.add("CategoricalHinge", categorical_hinge);
  r.losses.add("CosineSimilarity", cosine_similarity);
  r.losses.add("Hinge", mean_of(math::hinge));
  r.losses.add("Huber", huber);
  r.losses.add("KLDivergence", kl_divergence);
  r.losses.add("LogCosh", mean_of(math::log_cosh));
  r.losses.add("MeanAbsoluteError", mean_of(absolute_error));
  r.losses.add("MeanAbsolutePercentageError", percentage_error);
  r.losses.add("MeanSquaredError", mean_of(squared_error));
  r.losses.add("MeanSquaredLogarithmicError", logarithmic_error);
  r.losses.add("Poisson", poisson);
  r.losses.add("SparseCategoricalCrossentropy", sparse_categorical_crossentropy);
  r.losses.add("SquaredHinge", mean_of(squared_hinge));
}

}  // namespace midstream::keras
