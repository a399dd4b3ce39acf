// Two ways to count, as in Keras: buckets where the thresholds are evenly spread over [0, 1] (one pass over the
// predictions), comparisons with every threshold otherwise.
#include "lower/keras/confusion.h"

#include <algorithm>
#include <cmath>

#include "lower/math/elementwise.h"

namespace midstream::keras {

const char* state_name(Count count) {
  static const char* const names[] = {"true_positives", "false_positives", "true_negatives", "false_negatives"};
  return names[static_cast<size_t>(count)];
}

namespace {

bool evenly_spread(const std::vector<double>& t, double epsilon) {
  if (t.size() < 3) return false;
  for (size_t i = 0; i < t.size(); ++i) {
    double even = static_cast<double>(static_cast<float>(i) / static_cast<float>(t.size() - 1));
    if (std::abs(t[i] - even) > epsilon + 1e-5 * std::abs(even)) return false;
  }
  return true;
}

// Predictions outside of the k largest count as minus infinity.
Value keep_top_k(Builder& b, Value p, int64_t k) {
  Value top = b.call_all("aten::topk", {{"self", p}, {"k", k}})[1];
  Value mask = b.call("aten::scatter.value", {{"self", b.zeros_like(p)}, {"dim", -1}, {"index", top}, {"value", 1.0}});
  return b.add(b.mul(p, mask), b.mul(b.rsub(1.0, mask), -1e10));
}

// What is counted: flat vectors, or [labels, samples] for multi_label.
struct Data {
  Value p;
  Value positive, negative;  // weight of the sample where the label is 1 (0), else 0
};

Value vector_of(Builder& b, const std::vector<double>& numbers, DType dtype) {
  Value v = b.constant(Array::of<double>(DType::Float64, {static_cast<int64_t>(numbers.size())}, numbers));
  return b.cast(v, dtype);
}

Data arrange(Builder& b, const ConfusionOptions& o, Value y_true, Value y_pred, Value weight) {
  DType dtype = b.dtype(y_pred);
  Value label = b.cast(b.compare("ne", y_true, 0.0), dtype);
  if (weight) weight = b.expand(weight, b.sizes(y_pred));
  if (!o.label_weights.empty() && !o.multi_label) {
    Value per_label = b.expand(b.unsqueeze(vector_of(b, o.label_weights, dtype), 0), b.sizes(y_pred));
    weight = weight ? b.mul(weight, per_label) : per_label;
  }
  auto shaped = [&](Value v) { return o.multi_label ? b.permute(v, {1, 0}) : b.reshape(v, {Int(-1)}); };
  Data d{shaped(y_pred), shaped(label), shaped(b.rsub(1.0, label))};
  if (weight) {
    weight = shaped(weight);
    d.positive = b.mul(d.positive, weight);
    d.negative = b.mul(d.negative, weight);
  }
  return d;
}

// Sums of `what` over the predictions above each threshold, through buckets: [thresholds] or [thresholds, labels].
Value above_by_bucket(Builder& b, const ConfusionOptions& o, Value bucket, Value what, const Int& labels) {
  const int64_t n = static_cast<int64_t>(o.thresholds.size());
  // Bucket -1 (above no threshold) is cell 0 and falls away.
  Value cells = b.full({labels * Int(n + 1)}, 0.0, b.dtype(what));
  Value sums = b.call(
      "aten::index_add",
      {{"self", cells}, {"dim", 0}, {"index", b.reshape(bucket, {Int(-1)})}, {"source", b.reshape(what, {Int(-1)})}});
  sums = b.slice(b.reshape(sums, {labels, Int(n + 1)}), 1, 1, n + 1);
  sums = b.flip(b.call("aten::cumsum", {{"self", b.flip(sums, {1})}, {"dim", 1}}), {1});
  return o.multi_label ? b.permute(sums, {1, 0}) : b.reshape(sums, {Int(n)});
}

Value bucket_of(Builder& b, const ConfusionOptions& o, Value p, const Int& labels) {
  const int64_t n = static_cast<int64_t>(o.thresholds.size());
  bool with_epsilon = o.thresholds.front() < 0 || o.thresholds.back() > 1;
  Value bucket = b.unary("aten::ceil", b.mul(b.clamp(p, 0.0, 1.0), static_cast<double>(n - 1)));
  if (with_epsilon) bucket = math::maximum(b, bucket, 1.0);
  bucket = b.cast(bucket, DType::Int64);
  if (!o.multi_label) return bucket;
  Value row = b.call("aten::arange", {{"end", Arg(labels)}, {"dtype", DType::Int64}});
  return b.add(bucket, b.unsqueeze(b.mul(row, static_cast<double>(n + 1)), -1));
}

Value above_by_comparison(Builder& b, const ConfusionOptions& o, const Rules& rules, Value p, Value what) {
  Value t = vector_of(b, o.thresholds, rules.floatx);
  for (int64_t i = 0; i < b.rank(p); ++i) t = b.unsqueeze(t, -1);
  Value above = b.compare("gt", b.unsqueeze(p, 0), t);
  Value zero = b.constant(0.0, b.dtype(what));
  return b.sum(b.where(above, b.unsqueeze(what, 0), zero), {-1});
}

}  // namespace

Counts confusion_counts(Builder& b, const Rules& rules, const ConfusionOptions& o, const std::vector<Count>& wanted,
                        Value y_true, Value y_pred, Value weight) {
  y_true = b.cast(y_true, rules.floatx);
  y_pred = b.cast(y_pred, rules.floatx);
  auto [p, t] = match_ranks(b, y_pred, y_true);
  if (weight) {
    weight = b.unsqueeze(b.cast(weight, rules.floatx), -1);
    weight = match_ranks(b, t, weight, false).second;
  }
  if (o.top_k > 0) p = keep_top_k(b, p, o.top_k);
  if (o.class_id >= 0) {
    t = b.slice(t, -1, o.class_id, o.class_id + 1);
    p = b.slice(p, -1, o.class_id, o.class_id + 1);
  }
  Data d = arrange(b, o, t, p, weight);
  bool by_bucket = evenly_spread(o.thresholds, rules.epsilon);
  Int labels = o.multi_label ? b.size(d.p, 0) : Int(1);
  Value bucket = by_bucket ? bucket_of(b, o, d.p, labels) : Value{};
  auto above = [&](Value what) {
    return by_bucket ? above_by_bucket(b, o, bucket, what, labels) : above_by_comparison(b, o, rules, d.p, what);
  };
  auto has_any = [&](Count x, Count y) {
    return std::any_of(wanted.begin(), wanted.end(), [&](Count c) { return c == x || c == y; });
  };
  Counts out;
  auto fill = [&](Count above_count, Count below_count, Value what) {
    if (!has_any(above_count, below_count)) return;
    Value sum = above(what);
    out[static_cast<size_t>(above_count)] = sum;
    Value all = b.sum(what, o.multi_label ? std::vector<int64_t>{1} : std::vector<int64_t>{});
    out[static_cast<size_t>(below_count)] = b.sub(all, sum);
  };
  fill(Count::TruePositives, Count::FalseNegatives, d.positive);
  fill(Count::FalsePositives, Count::TrueNegatives, d.negative);
  return out;
}

}  // namespace midstream::keras
