#include "lower/keras/reduction.h"

#include "lower/math/elementwise.h"

namespace midstream::keras {

Rules rules_for(bool keras3, DType floatx) {
  Rules r;
  r.floatx = floatx;
  if (keras3) return r;
  r.losses_in_floatx = false;
  r.epsilon_in_log = true;
  r.smooth_by_class_axis = true;
  r.floored_norm = true;
  r.ignored_before_logits = false;
  r.mask_counts_twice = true;
  r.weights_match_rank = true;
  r.metrics_per_sample = false;
  r.float32_factors = false;
  r.float32_delta = true;
  return r;
}

namespace {
bool last_is_one(Builder& b, Value v) { return b.rank(v) > 0 && b.dims(v).back() == 1; }
}  // namespace

Pair match_ranks(Builder& b, Value first, Value second, bool expand_vectors) {
  auto shorten = [&](Value& longer, Value& shorter) {
    if (b.rank(longer) != b.rank(shorter) + 1 || !last_is_one(b, longer)) return;
    if (b.rank(shorter) == 1 && expand_vectors) {
      shorter = b.unsqueeze(shorter, -1);
    } else {
      longer = b.squeeze(longer, -1);
    }
  };
  shorten(first, second);
  shorten(second, first);
  return {first, second};
}

Pair match_targets(Builder& b, const Rules& rules, Value y_true, Value y_pred) {
  if (!rules.weights_match_rank) return match_ranks(b, y_true, y_pred);
  // Keras 2's squeeze_or_expand_dimensions: only ever drops an axis of size one.
  int64_t difference = b.rank(y_pred) - b.rank(y_true);
  if (difference == 1 && last_is_one(b, y_pred)) y_pred = b.squeeze(y_pred, -1);
  if (difference == -1 && last_is_one(b, y_true)) y_true = b.squeeze(y_true, -1);
  return {y_true, y_pred};
}

Value match_weight(Builder& b, Value values, Value weight) {
  int64_t difference = b.rank(values) - b.rank(weight);
  if (b.rank(weight) == 0) return weight;
  if (difference == -1) return b.squeeze(weight, -1);
  if (difference == 1) return b.unsqueeze(weight, -1);
  return weight;
}

Value count_elements(Builder& b, Value v, DType dtype) {
  Int n = 1;
  for (const Int& size : b.sizes(v)) n = n * size;
  if (n.is_constant()) return b.constant(static_cast<double>(n.constant()), dtype);
  return b.cast(b.tensor_of(n), dtype);
}

Value weight_of_mask(Builder& b, const Rules& rules, Value mask, Value sample_weight, DType dtype, bool normalize) {
  Value weight = b.cast(mask, dtype);
  if (normalize) {
    Value valid = b.sum(weight, {});
    Value total = count_elements(b, mask, dtype);
    // Keras 3 gives 0 when nothing is valid, Keras 2 divides by it.
    Value share = rules.mask_counts_twice ? b.div(total, valid) : math::divide_no_nan(b, total, valid);
    weight = b.mul(weight, share);
  }
  if (!sample_weight) return weight;
  sample_weight = b.cast(sample_weight, dtype);
  if (rules.weights_match_rank) return b.mul(match_weight(b, weight, sample_weight), weight);
  auto [w, s] = match_ranks(b, weight, sample_weight);
  return b.mul(s, w);
}

Value reduce_losses(Builder& b, const Rules& rules, const std::string& reduction, Value values, Value mask,
                    Value sample_weight) {
  bool mean = reduction == "sum_over_batch_size" || reduction == "mean" || reduction == "auto";
  bool weighted_mean = reduction == "mean_with_sample_weight";
  DType dtype = b.dtype(values);
  if (mask) sample_weight = weight_of_mask(b, rules, mask, sample_weight, dtype, mean);
  if (sample_weight) {
    sample_weight = b.cast(sample_weight, dtype);
    if (rules.weights_match_rank) {
      sample_weight = match_weight(b, values, sample_weight);
    } else {
      auto [v, w] = match_ranks(b, values, sample_weight);
      values = v;
      sample_weight = w;
    }
    values = b.mul(values, sample_weight);
  }
  if (reduction == "none" || reduction.empty() || b.rank(values) == 0) return values;
  if (!mean && !weighted_mean && reduction != "sum")
    b.fail(ErrorKind::Unsupported, "a loss has the unknown reduction '" + reduction + "'.");
  Value loss = b.sum(values, {});
  if (weighted_mean && sample_weight) return math::divide_no_nan(b, loss, b.sum(sample_weight, {}));
  if (!mean && !weighted_mean) return loss;
  // An empty batch never comes here: nothing would be learnt from it.
  return b.div(loss, count_elements(b, values, dtype));
}

}  // namespace midstream::keras
