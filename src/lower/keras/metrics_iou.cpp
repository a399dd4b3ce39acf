// Intersection over union: of a matrix that counts pairs of target and prediction.
#include <numeric>

#include "lower/keras/metrics.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

struct Form {
  bool binary = false, all_classes = false, one_hot = false;
};

class IoU final : public Metric {
 public:
  IoU(const json& config, const Rules& rules, const Form& form)
      : rules_(rules),
        binary_(form.binary),
        classes_(form.binary ? 2 : integer(config, "num_classes", 0)),
        axis_(integer(config, "axis", -1)),
        sparse_targets_(!form.one_hot && flag(config, "sparse_y_true", true)),
        sparse_predictions_(flag(config, "sparse_y_pred", !form.one_hot)),
        threshold_(number(config, "threshold", 0.5)) {
    if (has(config, "ignore_class")) ignored_ = integer(config, "ignore_class", 0);
    if (form.all_classes) {
      targets_.resize(static_cast<size_t>(classes_));
      std::iota(targets_.begin(), targets_.end(), int64_t{0});
    } else {
      targets_ = config.contains("target_class_ids") ? config.at("target_class_ids").get<std::vector<int64_t>>()
                                                     : std::vector<int64_t>{0, 1};
    }
    // Keras 3 counts in integers, unless the metric was given a dtype: weights lose their fractions there.
    const auto own = parse_dtype(text(config, "dtype"));
    dtype_ = !rules.metrics_per_sample         ? rules.floatx
             : own && is_floating(own.value()) ? own.value()
                                               : DType::Int64;
  }

  void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask, Value weight) override {
    if (mask && !rules_.metrics_per_sample) weight = weight_of_mask(b, rules_, mask, weight, rules_.floatx, false);
    Value t = sparse_targets_ ? y_true : argmax(b, y_true), p = sparse_predictions_ ? y_pred : argmax(b, y_pred);
    if (binary_) {
      p = b.cast(p, rules_.metrics_per_sample ? DType::Float32 : rules_.floatx);
      p = b.compare("ge", p, threshold_);
    }
    t = flat(b, b.cast(t, DType::Int64));
    p = flat(b, b.cast(p, DType::Int64));
    const auto n = static_cast<double>(classes_);
    auto inside = [&](Value v) { return b.logical_and(b.compare("ge", v, 0.0), b.compare("lt", v, n)); };
    Value counts = b.logical_and(inside(t), inside(p));
    if (ignored_) counts = b.logical_and(counts, b.compare("ne", t, static_cast<double>(*ignored_)));
    Value w = weight ? b.expand(flat(b, b.cast(weight, dtype_)), b.sizes(t)) : b.full(b.sizes(t), 1, dtype_);
    w = b.where(counts, w, b.zeros_like(w));
    Value cell = b.where(counts, b.add(b.mul(t, n), p), b.zeros_like(t));
    Value sums = b.call("aten::index_add", {{"self", b.full({Int(classes_ * classes_)}, 0, dtype_)},
                                            {"dim", 0},
                                            {"index", b.cast(cell, DType::Int64)},
                                            {"source", w}});
    Value old = state(b, path);
    b.assign(old, b.add(old, b.reshape(sums, {Int(classes_), Int(classes_)})));
  }

  Value result(Builder& b, const std::string& path) override {
    Value matrix = state(b, path);
    Value both = b.call("aten::diagonal", {{"self", matrix}});
    Value any = b.sub(b.add(b.sum(matrix, {0}), b.sum(matrix, {1})), both);
    Value ids =
        b.constant(Array::of<int64_t>(DType::Int64, {static_cast<int64_t>(targets_.size())}, std::vector(targets_)));
    const DType dtype = rules_.metrics_per_sample ? DType::Float32 : rules_.floatx;
    auto wanted = [&](Value v) {
      return b.cast(b.call("aten::index_select", {{"self", v}, {"dim", 0}, {"index", ids}}), dtype);
    };
    Value shared = wanted(both), all = wanted(any);
    if (!rules_.metrics_per_sample) {
      Value valid = b.sum(b.cast(b.compare("ne", all, 0.0), dtype), {});
      return math::divide_no_nan(b, b.sum(math::divide_no_nan(b, shared, all), {}), valid);
    }
    constexpr double kEpsilon = 1e-7;
    Value valid = b.compare("gt", all, 1e-9), ratio = b.div(shared, b.add(all, kEpsilon));
    ratio = b.where(valid, ratio, b.zeros_like(ratio));
    return b.div(b.sum(ratio, {}), b.add(b.sum(b.cast(valid, dtype), {}), kEpsilon));
  }

 private:
  Value state(Builder& b, const std::string& path) {
    return metric_state(b, path, "total_confusion_matrix", {classes_, classes_}, dtype_);
  }
  Value argmax(Builder& b, Value v) { return b.call("aten::argmax", {{"self", v}, {"dim", axis_}}); }
  static Value flat(Builder& b, Value v) { return b.reshape(v, {Int(-1)}); }

  const Rules rules_;
  const bool binary_;
  const int64_t classes_, axis_;
  const bool sparse_targets_, sparse_predictions_;
  const double threshold_;
  std::optional<int64_t> ignored_;
  std::vector<int64_t> targets_;
  DType dtype_;
};

}  // namespace

void register_metrics_iou(Registry& r) {
  auto add = [&](const char* name, const Form& form) {
    r.metrics.add(name, [form](const json& config, const Rules& rules) {
      return std::make_unique<IoU>(config, rules, form);
    });
  };
  add("BinaryIoU", {.binary = true});
  add("IoU", {});
  add("MeanIoU", {.all_classes = true});
  add("OneHotIoU", {.one_hot = true});
  add("OneHotMeanIoU", {.all_classes = true, .one_hot = true});
}

}  // namespace midstream::keras
