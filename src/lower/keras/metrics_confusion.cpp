// Precision, Recall, AUC, the best of one rate at another, and the four counts themselves.
#include <algorithm>

#include "lower/keras/confusion.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

std::vector<double> thresholds_of(const json& config, double otherwise) {
  if (!has(config, "thresholds")) return {otherwise};
  const json& t = config.at("thresholds");
  return t.is_array() ? t.get<std::vector<double>>() : std::vector<double>{t.get<double>()};
}

// State: one accumulator for each count.
class ConfusionMetric : public Metric {
 public:
  ConfusionMetric(const Rules& rules, std::vector<Count> counts) : rules(rules), counts_(std::move(counts)) {}

  void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask, Value weight) override {
    // Keras 3 gives these metrics no mask; Keras 2 gives it as the weight.
    if (mask && !rules.metrics_per_sample) weight = weight_of_mask(b, rules, mask, weight, rules.floatx, false);
    y_pred = prepare(b, y_pred);
    Counts now = confusion_counts(b, rules, options, counts_, y_true, y_pred, weight);
    for (Count c : counts_) {
      Value old = state(b, path, c, b.dims(now[static_cast<size_t>(c)]));
      b.assign(old, b.add(old, now[static_cast<size_t>(c)]));
    }
  }

 protected:
  virtual Value prepare(Builder&, Value y_pred) { return y_pred; }
  virtual std::string name_of(Count c) const { return state_name(c); }
  Value state(Builder& b, const std::string& path, Count c, Dims dims) {
    if (const Variable* v = b.graph().variables->find(path + "/" + name_of(c))) dims = v->dims();
    return metric_state(b, path, name_of(c), dims, rules.floatx);
  }
  Dims shape() const { return {static_cast<int64_t>(options.thresholds.size())}; }
  // One number where there is one threshold.
  Value shown(Builder& b, Value v) { return options.thresholds.size() == 1 ? b.select(v, 0, 0) : v; }

  const Rules rules;
  ConfusionOptions options;

 private:
  const std::vector<Count> counts_;
};

class OneCount final : public ConfusionMetric {
 public:
  OneCount(const json& config, const Rules& rules, Count count) : ConfusionMetric(rules, {count}), count_(count) {
    options.thresholds = thresholds_of(config, 0.5);
  }
  Value result(Builder& b, const std::string& path) override { return shown(b, state(b, path, count_, shape())); }

 protected:
  std::string name_of(Count) const override { return "accumulator"; }

 private:
  const Count count_;
};

// Precision (other: false positives) and Recall (other: false negatives).
class Share final : public ConfusionMetric {
 public:
  Share(const json& config, const Rules& rules, Count other)
      : ConfusionMetric(rules, {Count::TruePositives, other}), other_(other) {
    options.top_k = integer(config, "top_k", 0);
    options.class_id = integer(config, "class_id", -1);
    options.thresholds = thresholds_of(config, options.top_k > 0 ? -1e10 : 0.5);
  }
  Value result(Builder& b, const std::string& path) override {
    Value hits = state(b, path, Count::TruePositives, shape());
    Value all = b.add(hits, state(b, path, other_, shape()));
    return shown(b, math::divide_no_nan(b, hits, all));
  }

 private:
  const Count other_;
};

class Auc final : public ConfusionMetric {
 public:
  Auc(const json& config, const Rules& rules)
      : ConfusionMetric(rules,
                        {Count::TruePositives, Count::FalsePositives, Count::TrueNegatives, Count::FalseNegatives}),
        curve_(text(config, "curve", "ROC")),
        summation_(text(config, "summation_method", "interpolation")),
        from_logits_(flag(config, "from_logits", false)) {
    std::vector<double> inner;
    if (has(config, "thresholds")) {
      inner = thresholds_of(config, 0.5);
      std::sort(inner.begin(), inner.end());
    } else {
      int64_t n = integer(config, "num_thresholds", 200);
      for (int64_t i = 0; i < n - 2; ++i) inner.push_back(static_cast<double>(i + 1) / static_cast<double>(n - 1));
    }
    options.thresholds = {0.0 - rules.epsilon};
    options.thresholds.insert(options.thresholds.end(), inner.begin(), inner.end());
    options.thresholds.push_back(1.0 + rules.epsilon);
    options.multi_label = flag(config, "multi_label", false);
    if (has(config, "label_weights")) options.label_weights = config.at("label_weights").get<std::vector<double>>();
  }

  Value result(Builder& b, const std::string& path) override {
    Value tp = state(b, path, Count::TruePositives, shape()), fp = state(b, path, Count::FalsePositives, shape());
    Value tn = state(b, path, Count::TrueNegatives, shape()), fn = state(b, path, Count::FalseNegatives, shape());
    if (is("PR", curve_) && is("interpolation", summation_)) return over_labels(b, interpolated_pr(b, tp, fp, fn));
    Value recall = math::divide_no_nan(b, tp, b.add(tp, fn)), x, y;
    if (is("ROC", curve_)) {
      x = math::divide_no_nan(b, fp, b.add(fp, tn));
      y = recall;
    } else if (is("PR", curve_)) {
      x = recall;
      y = math::divide_no_nan(b, tp, b.add(tp, fp));
    } else {
      std::tie(x, y) = gains(b, tp, fp, tn, fn);
    }
    Value width = b.sub(front(b, x), back(b, x));
    return over_labels(b, b.mul(width, heights(b, front(b, y), back(b, y))));
  }

 protected:
  Value prepare(Builder& b, Value y_pred) override { return from_logits_ ? b.unary("aten::sigmoid", y_pred) : y_pred; }

 private:
  static bool is(const char* name, const std::string& given) {
    return std::equal(given.begin(), given.end(), name, name + std::char_traits<char>::length(name),
                      [](char a, char c) { return std::tolower(a) == std::tolower(c); });
  }
  Int last() const { return static_cast<int64_t>(options.thresholds.size()); }
  Value front(Builder& b, Value v) { return b.slice(v, 0, 0, last() - Int(1)); }
  Value back(Builder& b, Value v) { return b.slice(v, 0, 1, last()); }

  Value heights(Builder& b, Value y0, Value y1) {
    if (is("interpolation", summation_)) return b.div(b.add(y0, y1), 2.0);
    return b.call(is("minoring", summation_) ? "aten::minimum" : "aten::maximum", {{"self", y0}, {"other", y1}});
  }

  // Davis and Goadrich's interpolation between the points of a precision-recall curve.
  Value interpolated_pr(Builder& b, Value tp, Value fp, Value fn) {
    Value dtp = b.sub(front(b, tp), back(b, tp));
    Value p = b.add(tp, fp), p0 = front(b, p), p1 = back(b, p);
    Value slope = math::divide_no_nan(b, dtp, math::maximum(b, b.sub(p0, p1), 0.0));
    Value intercept = b.sub(back(b, tp), b.mul(slope, p1));
    Value both = b.logical_and(b.compare("gt", p0, 0.0), b.compare("gt", p1, 0.0));
    Value ratio = b.where(both, math::divide_no_nan(b, p0, math::maximum(b, p1, 0.0)), b.ones_like(p1));
    Value area = b.mul(slope, b.add(dtp, b.mul(intercept, b.log(ratio))));
    return math::divide_no_nan(b, area, math::maximum(b, b.add(back(b, tp), back(b, fn)), 0.0));
  }

  std::pair<Value, Value> gains(Builder& b, Value tp, Value fp, Value tn, Value fn) {
    Value scale = math::divide_no_nan(b, b.add(tp, fn), b.add(tn, fp));
    Value recall = b.rsub(1.0, b.mul(scale, math::divide_no_nan(b, fn, tp)));
    Value precision = b.rsub(1.0, b.mul(scale, math::divide_no_nan(b, fp, tp)));
    Value none = b.compare("eq", tp, 0.0);
    recall = b.where(none, b.zeros_like(recall), recall);
    precision = b.where(none, b.ones_like(precision), precision);
    return {math::maximum(b, recall, 0.0), precision};
  }

  Value over_labels(Builder& b, Value terms) {
    if (!options.multi_label) return b.sum(terms, {});
    Value by_label = b.sum(terms, {0});
    if (options.label_weights.empty()) return b.mean(by_label, {});
    double total = 0;
    for (double w : options.label_weights) total += w;
    Value weights = b.constant(
        Array::of<double>(DType::Float64, {static_cast<int64_t>(options.label_weights.size())}, options.label_weights));
    return b.div(b.sum(b.mul(by_label, b.cast(weights, b.dtype(by_label))), {}), total);
  }

  const std::string curve_, summation_;
  const bool from_logits_;
};

// The best of one rate among the thresholds at which another rate is at least a given one; 0 where there is none.
class BestAt final : public ConfusionMetric {
 public:
  enum class Rate { Precision, Recall, Specificity };
  BestAt(const json& config, const Rules& rules, Rate best, Rate given, const char* least)
      : ConfusionMetric(rules,
                        {Count::TruePositives, Count::FalsePositives, Count::TrueNegatives, Count::FalseNegatives}),
        best_(best),
        given_(given),
        least_(number(config, least, 0)) {
    const int64_t n = integer(config, "num_thresholds", 200);
    options.class_id = integer(config, "class_id", -1);
    for (int64_t i = 0; i < n; ++i)
      options.thresholds.push_back(n == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(n - 1));
  }
  Value result(Builder& b, const std::string& path) override {
    Value best = rate(b, path, best_), allowed = b.compare("ge", rate(b, path, given_), least_);
    return b.amax(b.where(allowed, best, b.zeros_like(best)), {});
  }

 private:
  Value rate(Builder& b, const std::string& path, Rate which) {
    const Count hit = which == Rate::Specificity ? Count::TrueNegatives : Count::TruePositives;
    const Count miss = which == Rate::Recall ? Count::FalseNegatives : Count::FalsePositives;
    Value hits = state(b, path, hit, shape());
    return math::divide_no_nan(b, hits, b.add(hits, state(b, path, miss, shape())));
  }

  const Rate best_, given_;
  const double least_;
};

MetricFn count(Count which) {
  return [which](const json& config, const Rules& rules) { return std::make_unique<OneCount>(config, rules, which); };
}
MetricFn share(Count other) {
  return [other](const json& config, const Rules& rules) { return std::make_unique<Share>(config, rules, other); };
}

MetricFn best_at(BestAt::Rate best, BestAt::Rate given, const char* least) {
  return [=](const json& config, const Rules& rules) {
    return std::make_unique<BestAt>(config, rules, best, given, least);
  };
}

}  // namespace

void register_metrics_confusion(Registry& r) {
  using Rate = BestAt::Rate;
  r.metrics.add("PrecisionAtRecall", best_at(Rate::Precision, Rate::Recall, "recall"));
  r.metrics.add("RecallAtPrecision", best_at(Rate::Recall, Rate::Precision, "precision"));
  r.metrics.add("SensitivityAtSpecificity", best_at(Rate::Recall, Rate::Specificity, "specificity"));
  r.metrics.add("SpecificityAtSensitivity", best_at(Rate::Specificity, Rate::Recall, "sensitivity"));
  r.metrics.add("AUC", [](const json& config, const Rules& rules) { return std::make_unique<Auc>(config, rules); });
  r.metrics.add("FalseNegatives", count(Count::FalseNegatives));
  r.metrics.add("FalsePositives", count(Count::FalsePositives));
  r.metrics.add("Precision", share(Count::FalsePositives));
  r.metrics.add("Recall", share(Count::FalseNegatives));
  r.metrics.add("TrueNegatives", count(Count::TrueNegatives));
  r.metrics.add("TruePositives", count(Count::TruePositives));
}

}  // namespace midstream::keras
