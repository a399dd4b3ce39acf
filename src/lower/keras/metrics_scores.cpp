// F scores, R2, correlations, relative errors, and the plain Mean and Sum.
#include <functional>

#include "lower/keras/metrics.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

constexpr double kEpsilon = 1e-7;

// State that update() has made.
Value made(Builder& b, const std::string& path, const char* name) { return b.stored(path + "/" + name); }

void count_up(Builder& b, const std::string& path, const char* name, Value now, DType dtype) {
  Value old = metric_state(b, path, name, b.dims(now), dtype);
  b.assign(old, b.add(old, b.cast(now, dtype)));
}

void expect_matrix(Builder& b, const char* metric, Value y_true, Value y_pred) {
  if (b.rank(y_true) == 2 && b.rank(y_pred) == 2 && b.dims(y_pred)[1] != kUnknown) return;
  b.fail(ErrorKind::Mismatch, std::string(metric) + " wants targets and predictions of two axes, the last of known " +
                                  "size, and has " + to_string(b.dims(y_true)) + " and " + to_string(b.dims(y_pred)) +
                                  ".");
}

// A [n] weight beside [n, c] values.
Value column(Builder& b, Value weight, DType dtype) {
  weight = b.cast(weight, dtype);
  return b.rank(weight) == 1 ? b.unsqueeze(weight, 1) : weight;
}

class FBeta final : public Metric {
 public:
  FBeta(const json& config, const Rules& rules)
      : rules_(rules),
        average_(text(config, "average")),
        beta_(number(config, "beta", 1)),
        any_threshold_(has(config, "threshold")),
        threshold_(number(config, "threshold", 0)) {}

  void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask, Value weight) override {
    if (mask && !rules_.metrics_per_sample) weight = weight_of_mask(b, rules_, mask, weight, rules_.floatx, false);
    expect_matrix(b, "FBetaScore", y_true, y_pred);
    Value t = b.cast(y_true, rules_.floatx), p = b.cast(y_pred, rules_.floatx), chosen;
    if (any_threshold_)
      chosen = b.compare("gt", p, threshold_);
    else
      chosen = b.logical_and(b.compare("ge", p, b.amax(p, {-1}, true)), b.compare("gt", b.abs(p), 1e-9));
    p = b.cast(chosen, rules_.floatx);
    auto add = [&](const char* name, Value v) {
      if (weight) v = b.mul(v, column(b, weight, rules_.floatx));
      count_up(b, path, name, b.sum(v, average_ == "micro" ? std::vector<int64_t>{} : std::vector<int64_t>{0}),
                 rules_.floatx);
    };
    add("true_positives", b.mul(p, t));
    add("false_positives", b.mul(p, b.rsub(1.0, t)));
    add("false_negatives", b.mul(b.rsub(1.0, p), t));
    add("intermediate_weights", t);
  }

  Value result(Builder& b, const std::string& path) override {
    Value hits = made(b, path, "true_positives"), weights = made(b, path, "intermediate_weights");
    Value precision = share(b, hits, b.add(hits, made(b, path, "false_positives")));
    Value recall = share(b, hits, b.add(hits, made(b, path, "false_negatives")));
    Value sum = b.add(b.mul(precision, beta_ * beta_), recall);
    Value score = b.mul(share(b, b.mul(precision, recall), sum), 1 + beta_ * beta_);
    if (average_ == "weighted") return b.sum(b.mul(score, share(b, weights, b.sum(weights, {}))), {});
    return average_.empty() ? score : b.mean(score, {});
  }

 private:
  // Keras 3 adds a small number to every divisor, Keras 2 gives 0 for divisors of 0.
  Value share(Builder& b, Value part, Value all) {
    if (!rules_.metrics_per_sample) return math::divide_no_nan(b, part, all);
    return b.div(part, b.add(all, kEpsilon));
  }

  const Rules rules_;
  const std::string average_;
  const double beta_;
  const bool any_threshold_;
  const double threshold_;
};

class R2Score final : public Metric {
 public:
  R2Score(const json& config, const Rules& rules)
      : rules_(rules),
        aggregation_(config.contains("class_aggregation") ? text(config, "class_aggregation") : "uniform_average"),
        regressors_(integer(config, "num_regressors", 0)) {}

  void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask, Value weight) override {
    if (mask && !rules_.metrics_per_sample) weight = weight_of_mask(b, rules_, mask, weight, rules_.floatx, false);
    auto [t, p] = match_targets(b, rules_, b.cast(y_true, rules_.floatx), b.cast(y_pred, rules_.floatx));
    expect_matrix(b, "R2Score", t, p);
    Value w = weight ? b.expand(column(b, weight, rules_.floatx), b.sizes(t)) : b.ones_like(t), weighted = b.mul(t, w);
    auto add = [&](const char* name, Value v) { count_up(b, path, name, v, rules_.floatx); };
    add("num_samples", count_elements(b, t, rules_.floatx));
    add("squared_sum", b.sum(b.mul(t, weighted), {0}));
    add("sum", b.sum(weighted, {0}));
    add("residual", b.sum(b.mul(b.square(b.sub(t, p)), w), {0}));
    add("count", b.sum(w, {0}));
  }

  Value result(Builder& b, const std::string& path) override {
    Value sum = made(b, path, "sum");
    Value total = b.sub(made(b, path, "squared_sum"), b.mul(sum, b.div(sum, made(b, path, "count"))));
    Value scores = b.rsub(1.0, b.div(made(b, path, "residual"), total));
    scores = b.where(b.unary("aten::isinf", scores), b.zeros_like(scores), scores);
    if (aggregation_ == "uniform_average")
      scores = b.mean(scores, {});
    else if (aggregation_ == "variance_weighted_average")
      scores = b.div(b.sum(b.mul(total, scores), {}), b.sum(total, {}));
    if (regressors_ == 0) return scores;
    Value n = made(b, path, "num_samples");
    Value free = b.sub(n, static_cast<double>(regressors_ + 1));
    Value adjusted = b.rsub(1.0, b.div(b.mul(b.rsub(1.0, scores), b.sub(n, 1.0)), free));
    return b.where(b.compare("gt", free, 0.0), adjusted, scores);
  }

 private:
  const Rules rules_;
  const std::string aggregation_;
  const int64_t regressors_;
};

// --- means

using Values2 = std::function<Value(Builder&, Value y_true, Value y_pred)>;

class ComputedMean final : public MeanMetric {
 public:
  ComputedMean(const Rules& rules, Values2 fn) : MeanMetric(rules), fn_(std::move(fn)) {}

 protected:
  Losses values(Builder& b, Value y_true, Value y_pred) override { return {fn_(b, y_true, y_pred), {}}; }

 private:
  const Values2 fn_;
};

struct Centred {
  Value t, p, t_mean, p_mean;
};

Centred centred(Builder& b, Value t, Value p, int64_t axis) {
  t = b.cast(t, b.dtype(p));
  Value t_mean = b.mean(t, {axis}, true), p_mean = b.mean(p, {axis}, true);
  return {b.sub(t, t_mean), b.sub(p, p_mean), t_mean, p_mean};
}

Value variance(Builder& b, Value v, int64_t axis) {
  return b.mean(b.square(b.sub(v, b.mean(v, {axis}, true))), {axis}, true);
}

Value pearson(Builder& b, Value y_true, Value y_pred, int64_t axis) {
  const Centred c = centred(b, y_true, y_pred, axis);
  Value t = b.div(c.t, b.sqrt(variance(b, c.t, axis))), p = b.div(c.p, b.sqrt(variance(b, c.p, axis)));
  return b.mean(b.mul(t, p), {axis});
}

// With the predictions' mean taken off both, as Keras has it.
Value concordance(Builder& b, Value y_true, Value y_pred, int64_t axis) {
  const Centred c = centred(b, y_true, y_pred, axis);
  Value covariance = b.mul(b.sub(b.cast(y_true, b.dtype(y_pred)), c.p_mean), c.p);
  Value norm = b.add(b.add(variance(b, c.t, axis), variance(b, c.p, axis)), b.square(b.sub(c.t_mean, c.p_mean)));
  return b.mean(b.div(b.mul(covariance, 2.0), b.add(norm, kEpsilon)), {axis});
}

Value tensor_of(Builder& b, const json& entry, DType dtype) {
  const json& given = entry.is_object() && entry.contains("config") ? entry.at("config").at("value") : entry;
  if (given.is_number()) return b.constant(given.get<double>(), dtype);
  const auto numbers = given.get<std::vector<double>>();
  return b.cast(b.constant(Array::of<double>(DType::Float64, {static_cast<int64_t>(numbers.size())}, numbers)), dtype);
}

// Mean and Sum in compile(): Keras 3 calls them with the targets as values and the predictions as their weights.
class Targets final : public MeanMetric {
 public:
  Targets(const Rules& rules, bool sum) : MeanMetric(rules), sum_(sum) {}

  void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value, Value weight) override {
    if (weight || !rules.metrics_per_sample)
      b.fail(ErrorKind::Mismatch, std::string(sum_ ? "Sum" : "Mean") +
                                      " takes values and weights, so that Keras' fit() stops at it: it calls it with "
                                      "targets, predictions and weights.",
             "Leave it out of compile().");
    if (!sum_) return add(b, path, {y_true, {}}, y_pred);
    auto [v, w] = match_ranks(b, b.cast(y_true, rules.floatx), b.cast(y_pred, rules.floatx));
    count_up(b, path, "total", b.sum(b.mul(v, w), {}), rules.floatx);
  }
  Value result(Builder& b, const std::string& path) override {
    return sum_ ? made(b, path, "total") : MeanMetric::result(b, path);
  }

 protected:
  Losses values(Builder&, Value, Value) override { return {}; }

 private:
  const bool sum_;
};

}  // namespace

void register_metrics_scores(Registry& r) {
  for (const char* name : {"F1Score", "FBetaScore"})
    r.metrics.add(name, [](const json& config, const Rules& rules) { return std::make_unique<FBeta>(config, rules); });
  r.metrics.add("R2Score",
                [](const json& config, const Rules& rules) { return std::make_unique<R2Score>(config, rules); });
  auto correlation = [&](const char* name, Value (*fn)(Builder&, Value, Value, int64_t)) {
    r.metrics.add(name, [fn](const json& config, const Rules& rules) {
      const int64_t axis = integer(config, "axis", -1);
      return std::make_unique<ComputedMean>(
          rules, [=](Builder& b, Value y_true, Value y_pred) { return fn(b, y_true, y_pred, axis); });
    });
  };
  correlation("ConcordanceCorrelation", concordance);
  correlation("PearsonCorrelation", pearson);
  r.metrics.add("MeanRelativeError", [](const json& config, const Rules& rules) {
    return std::make_unique<ComputedMean>(rules, [config](Builder& b, Value y_true, Value y_pred) {
      Value normalizer = tensor_of(b, config.value("normalizer", json(1.0)), b.dtype(y_pred));
      Value error = b.abs(b.sub(y_true, y_pred));
      return math::divide_no_nan(b, error, b.expand(normalizer, b.sizes(error)));
    });
  });
  r.metrics.add("Mean", [](const json&, const Rules& rules) { return std::make_unique<Targets>(rules, false); });
  r.metrics.add("Sum", [](const json&, const Rules& rules) { return std::make_unique<Targets>(rules, true); });
}

}  // namespace midstream::keras
