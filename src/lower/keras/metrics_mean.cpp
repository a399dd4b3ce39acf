// Metrics that are a mean over samples: the accuracy family and every loss.
#include "lower/keras/losses.h"
#include "lower/keras/metrics.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

Value metric_state(Builder& b, const std::string& path, const std::string& name, const Dims& dims, DType dtype) {
  const std::string full = path + "/" + name;
  Variables& variables = *b.graph().variables;
  if (!variables.find(full)) {
    Variable v;
    v.name = full;
    v.dtype = dtype;
    v.source_dims = dims;
    v.role = Role::Metric;
    variables.add(std::move(v));
  }
  return b.stored(full);
}

void MeanMetric::accumulate(Builder& b, const std::string& path, Value total, Value count) {
  Value old_total = metric_state(b, path, "total", {}, rules.floatx);
  Value old_count = metric_state(b, path, "count", {}, rules.floatx);
  b.assign(old_total, b.add(old_total, total));
  b.assign(old_count, b.add(old_count, count));
}

Value MeanMetric::result(Builder& b, const std::string& path) {
  return math::divide_no_nan(b, metric_state(b, path, "total", {}, rules.floatx),
                             metric_state(b, path, "count", {}, rules.floatx));
}

namespace {
std::vector<int64_t> axes_from(int64_t first, int64_t rank) {
  std::vector<int64_t> axes;
  for (int64_t i = first; i < rank; ++i) axes.push_back(i);
  return axes;
}
}  // namespace

// Keras 3: the values of each sample are averaged first, and so are its weights.
void MeanMetric::add_per_sample(Builder& b, const std::string& path, Losses losses, Value weight) {
  Value v = b.cast(losses.values, rules.floatx);
  if (weight) {
    weight = b.cast(weight, rules.floatx);
    if (losses.mask) weight = weight_of_mask(b, rules, losses.mask, weight, rules.floatx, false);
    auto [values, weights] = match_ranks(b, v, weight);
    v = values;
    weight = weights;
    int64_t rank = b.rank(weight);
    if (b.rank(v) > rank) v = b.mean(v, axes_from(rank, b.rank(v)));
    weight = b.expand(weight, b.sizes(v));
    v = b.mul(v, weight);
    if (rank > 1) weight = b.mean(weight, axes_from(1, rank));
  }
  if (b.rank(v) > 1) v = b.mean(v, axes_from(1, b.rank(v)));
  Value count;
  if (weight) {
    count = b.sum(weight, {});
  } else {
    count = b.rank(v) > 0 ? count_elements(b, v, rules.floatx) : b.constant(1.0, rules.floatx);
  }
  accumulate(b, path, b.sum(v, {}), count);
}

// Keras 2: all values count alike; weights of a lower rank weigh means over the axes that they lack.
void MeanMetric::add_all(Builder& b, const std::string& path, Losses losses, Value weight) {
  Value v = b.cast(losses.values, rules.floatx);
  if (losses.mask) weight = weight_of_mask(b, rules, losses.mask, weight, rules.floatx, false);
  Value count;
  if (weight) {
    weight = match_weight(b, v, b.cast(weight, rules.floatx));
    if (b.rank(weight) != 0 && b.rank(weight) < b.rank(v)) v = b.mean(v, axes_from(b.rank(weight), b.rank(v)));
    weight = b.expand(weight, b.sizes(v));
    v = b.mul(v, weight);
    count = b.sum(weight, {});
  } else {
    count = count_elements(b, v, rules.floatx);
  }
  accumulate(b, path, b.sum(v, {}), count);
}

void MeanMetric::add(Builder& b, const std::string& path, Losses losses, Value weight) {
  rules.metrics_per_sample ? add_per_sample(b, path, losses, weight) : add_all(b, path, losses, weight);
}

void MeanMetric::update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask, Value weight) {
  if (!rules.metrics_per_sample) {
    y_true = b.cast(y_true, rules.floatx);
    y_pred = b.cast(y_pred, rules.floatx);
  }
  auto [t, p] = match_targets(b, rules, y_true, y_pred);
  if (mask) weight = weight_of_mask(b, rules, mask, weight, rules.floatx, false);
  add(b, path, values(b, t, p), weight);
}

void LossTracker::update_loss(Builder& b, const std::string& path, Value loss, const Int& samples) {
  Value n = samples.is_constant() ? b.constant(static_cast<double>(samples.constant()), rules.floatx)
                                  : b.cast(b.tensor_of(samples), rules.floatx);
  add(b, path, {loss, {}}, n);
}

namespace {

// A loss function as a metric.
class LossMetric final : public MeanMetric {
 public:
  LossMetric(std::string loss, const json& config, const Rules& rules)
      : MeanMetric(rules), loss_(std::move(loss)), config_(config) {}

 protected:
  Losses values(Builder& b, Value y_true, Value y_pred) override {
    Losses v = (*registry().losses.find(loss_))(b, config_, rules, y_true, y_pred);
    if (loss_ == "CosineSimilarity") v.values = b.neg(v.values);  // as a metric it is to be maximized
    return v;
  }

 private:
  const std::string loss_;
  const json config_;
};

using Matches = Value (*)(Builder&, const json&, const Rules&, Value y_true, Value y_pred);

class MatchMetric final : public MeanMetric {
 public:
  MatchMetric(Matches matches, const json& config, const Rules& rules)
      : MeanMetric(rules), matches_(matches), config_(config) {}

 protected:
  Losses values(Builder& b, Value y_true, Value y_pred) override {
    return {b.cast(matches_(b, config_, rules, y_true, y_pred), rules.floatx), {}};
  }

 private:
  const Matches matches_;
  const json config_;
};

Value argmax(Builder& b, Value v) { return b.call("aten::argmax", {{"self", v}, {"dim", -1}}); }

Value equal(Builder& b, const json&, const Rules&, Value t, Value p) {
  return b.compare("eq", b.cast(t, b.dtype(p)), p);
}

Value binary(Builder& b, const json& config, const Rules& rules, Value t, Value p) {
  Value positive = b.compare("gt", p, number(config, "threshold", 0.5));
  Value match = b.compare("eq", b.cast(t, b.dtype(p)), b.cast(positive, b.dtype(p)));
  if (rules.metrics_per_sample) return match;
  return b.mean(b.cast(match, rules.floatx), {-1});
}

Value categorical(Builder& b, const json&, const Rules&, Value t, Value p) {
  return b.compare("eq", argmax(b, t), argmax(b, p));
}

Value indices(Builder& b, Value t, Value p) {
  if (b.rank(t) == b.rank(p) && b.dims(t).back() == 1) t = b.squeeze(t, -1);
  return b.cast(t, DType::Int64);
}

Value sparse_categorical(Builder& b, const json&, const Rules&, Value t, Value p) {
  // Targets that are no whole numbers match nothing, so they are compared before any rounding.
  if (b.rank(t) == b.rank(p) && b.dims(t).back() == 1) t = b.squeeze(t, -1);
  Value best = argmax(b, p);
  return b.compare("eq", t, b.cast(best, b.dtype(t)));
}

// tf.math.in_top_k: fewer than k classes score higher than the target's, whose score is finite.
Value in_top_k(Builder& b, Value target, Value p, int64_t k) {
  Value score = b.call("aten::gather", {{"self", p}, {"dim", -1}, {"index", b.unsqueeze(target, -1)}});
  Value higher = b.sum(b.cast(b.compare("gt", p, score), DType::Int64), {-1});
  Value finite = b.unary("aten::isfinite", b.squeeze(score, -1));
  return b.logical_and(b.compare("lt", higher, static_cast<double>(k)), finite);
}

Value top_k(Builder& b, const json& config, const Rules&, Value t, Value p) {
  return in_top_k(b, argmax(b, t), p, integer(config, "k", 5));
}

Value sparse_top_k(Builder& b, const json& config, const Rules&, Value t, Value p) {
  if (flag(config, "from_sorted_ids", false))
    b.fail(ErrorKind::Unsupported, "the metric SparseTopKCategoricalAccuracy with from_sorted_ids has no lowering.");
  return in_top_k(b, indices(b, t, p), p, integer(config, "k", 5));
}

class RootMeanSquaredError final : public MeanMetric {
 public:
  using MeanMetric::MeanMetric;
  Value result(Builder& b, const std::string& path) override { return b.sqrt(MeanMetric::result(b, path)); }

 protected:
  Losses values(Builder& b, Value t, Value p) override {
    return {b.square(b.sub(b.cast(p, rules.floatx), b.cast(t, rules.floatx))), {}};
  }
};

}  // namespace

void register_metrics_mean(Registry& r) {
  auto loss = [&](const std::string& metric, const std::string& function) {
    r.metrics.add(metric, [function](const json& config, const Rules& rules) {
      return std::make_unique<LossMetric>(function, config, rules);
    });
  };
  auto match = [&](const std::string& metric, Matches matches) {
    r.metrics.add(metric, [matches](const json& config, const Rules& rules) {
      return std::make_unique<MatchMetric>(matches, config, rules);
    });
  };
  for (const char* name :
       {"BinaryCrossentropy", "CategoricalCrossentropy", "CategoricalHinge", "CosineSimilarity", "Hinge",
        "KLDivergence", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError",
        "MeanSquaredLogarithmicError", "Poisson", "SparseCategoricalCrossentropy", "SquaredHinge", "Huber"})
    loss(name, name);
  loss("LogCosh", "LogCosh");
  loss("LogCoshError", "LogCosh");
  match("Accuracy", equal);
  match("BinaryAccuracy", binary);
  match("CategoricalAccuracy", categorical);
  match("SparseCategoricalAccuracy", sparse_categorical);
  match("SparseTopKCategoricalAccuracy", sparse_top_k);
  match("TopKCategoricalAccuracy", top_k);
  r.metrics.add("RootMeanSquaredError",
                [](const json&, const Rules& rules) { return std::make_unique<RootMeanSquaredError>(rules); });
}

}  // namespace midstream::keras
