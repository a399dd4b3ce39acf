// The losses that Keras 3 added: of overlaps, of embeddings, and for noisy labels.
#include <limits>

#include "lower/keras/config.h"
#include "lower/math/activations.h"
#include "lower/math/elementwise.h"
#include "lower/math/losses.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// The axes that the config names; none: all of them, one loss for the whole batch.
std::vector<int64_t> axes(const json& config) {
  auto it = config.find("axis");
  if (it == config.end() || it->is_null()) return {};
  if (it->is_number_integer()) return {it->get<int64_t>()};
  return it->get<std::vector<int64_t>>();
}

// 1 - 2 sum(t p) / (sum(t) + sum(p) + epsilon)
Losses dice(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  t = b.cast(t, b.dtype(p));
  const std::vector<int64_t> over = axes(config);
  Value both = b.mul(b.sum(b.mul(t, p), over), 2.0);
  Value all = b.add(b.add(b.sum(t, over), b.sum(p, over)), rules.epsilon);
  return {b.rsub(1.0, b.div(both, all)), {}};
}

// 1 - sum(t p) / (sum(t p) + alpha sum(t (1 - p)) + beta sum((1 - t) p) + epsilon)
Losses tversky(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  t = b.cast(t, b.dtype(p));
  const std::vector<int64_t> over = axes(config);
  Value both = b.sum(b.mul(t, p), over);
  Value missed = b.mul(b.sum(b.mul(b.rsub(1.0, p), t), over), number(config, "alpha", 0.5));
  Value wrong = b.mul(b.sum(b.mul(p, b.rsub(1.0, t)), over), number(config, "beta", 0.5));
  Value all = b.add(b.add(b.add(both, missed), wrong), rules.epsilon);
  return {b.rsub(1.0, b.div(both, all)), {}};
}

// (1 - p^q) / q, p the probability of the true class. Labels [n, 1], which Keras' documentation allows, broadcast in
// its formula to all pairs of a label and a prediction, [n, n]; so they do here.
Losses generalized_cross_entropy(Builder& b, const json& config, const Rules&, Value t, Value p) {
  const double q = number(config, "q", 0.5);
  t = b.cast(t, DType::Int64);
  Value true_class;
  if (b.rank(t) == 2 && b.rank(p) == 2) {
    Value of_class = b.permute(p, {1, 0});
    true_class = b.call("aten::index_select", {{"self", of_class}, {"dim", 0}, {"index", b.reshape(t, {-1})}});
  } else {
    Value picked = b.call("aten::gather", {{"self", p}, {"dim", -1}, {"index", b.unsqueeze(t, -1)}});
    true_class = b.squeeze(picked, -1);
  }
  Value power = b.call("aten::pow.Tensor_Scalar", {{"self", true_class}, {"exponent", q}});
  return {b.div(b.rsub(1.0, power), q), {}};
}

Value log_sum_exp_where(Builder& b, Value mask, Value v) {
  Value kept = b.where(mask, v, b.constant(-std::numeric_limits<double>::infinity(), b.dtype(v)));
  return b.call("aten::logsumexp", {{"self", kept}, {"dim", std::vector<int64_t>{1}}});
}

// Sun et al. 2020, over all pairs of the batch: p [n, features], normalized; labels [n] or [n, 1]. Samples whose loss
// is zero do not count in the mean.
Losses circle(Builder& b, const json& config, const Rules&, Value t, Value p) {
  const double gamma = number(config, "gamma", 80.0), margin = number(config, "margin", 0.4);
  t = b.reshape(b.cast(t, DType::Int64), {-1, 1});
  Value same = b.compare("eq", t, b.permute(t, {1, 0}));
  Value other = b.logical_not(same);
  if (flag(config, "remove_diagonal", true)) {
    Value rows = b.call("aten::cumsum", {{"self", b.ones_like(t)}, {"dim", 0}});
    same = b.logical_and(same, b.compare("ne", rows, b.permute(rows, {1, 0})));
  }
  Value distance = b.rsub(1.0, b.call("aten::matmul", {{"self", p}, {"other", b.permute(p, {1, 0})}}));
  distance = math::maximum(b, distance, 0.0);
  const auto weighted = [&](Value weight, Value mask) {
    return math::maximum(b, b.mul(weight, b.cast(mask, b.dtype(p))), 0.0);
  };
  Value near = weighted(b.add(distance, margin), same), far = weighted(b.rsub(1.0 + margin, distance), other);
  Value near_terms = b.mul(b.mul(near, -gamma), b.rsub(margin, distance));
  Value far_terms = b.mul(b.mul(far, gamma), b.rsub(1.0 - margin, distance));
  Value loss = math::softplus(b, b.add(log_sum_exp_where(b, same, near_terms), log_sum_exp_where(b, other, far_terms)));
  return {loss, b.compare("gt", loss, 0.0)};
}

// Graves et al. 2006: t [n, labels], where 0 ends the sequence, p [n, time, classes], logits of which class 0 is the
// blank. Keras computes it in float32 whatever the dtype of p.
Losses ctc(Builder& b, const json&, const Rules&, Value t, Value p) {
  if (b.rank(t) != 2 || b.rank(p) != 3)
    b.fail(ErrorKind::Mismatch, "CTC is of targets [batch, labels] and predictions [batch, time, classes], not of " +
                                    to_string(b.dims(t)) + " and " + to_string(b.dims(p)) + ".");
  const DType dtype = b.dtype(p) == DType::Float64 ? DType::Float64 : DType::Float32;
  Value loss = math::ctc(b, b.cast(t, DType::Int64), b.cast(p, DType::Float32));
  return {b.cast(loss, dtype), {}};
}

}  // namespace

void register_losses_keras3(Registry& r) {
  r.losses.add("CategoricalGeneralizedCrossEntropy", generalized_cross_entropy);
  r.losses.add("Circle", circle);
  r.losses.add("CTC", ctc);
  r.losses.add("Dice", dice);
  r.losses.add("Tversky", tversky);
}

}  // namespace midstream::keras
