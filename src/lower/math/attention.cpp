// See attention.h.
#include "lower/math/attention.h"

#include "lower/math/activations.h"
#include "lower/math/elementwise.h"

namespace midstream::math {
namespace {

// Far below every score, and finite in every dtype (Keras 3 takes such a number too; which one does not matter).
double excluded(DType dtype) { return dtype == DType::Float16 ? -3e4 : -1e9; }

// (1 - mask) * excluded: what is added to the scores.
Value additive(Builder& b, Value mask, DType dtype) {
  Value dropped = b.dtype(mask) == DType::Bool ? b.cast(b.logical_not(mask), dtype) : b.rsub(1.0, b.cast(mask, dtype));
  return b.mul(dropped, excluded(dtype));
}

Value as_bool(Builder& b, Value mask) {
  if (b.dtype(mask) == DType::Bool) return mask;
  return is_floating(b.dtype(mask)) ? b.compare("gt", mask, 0.5) : b.cast(mask, DType::Bool);
}

}  // namespace

Value attention(Builder& b, Value q, Value k, Value v, const Attention& how) {
  // Rows that are masked throughout keep the size of their scores (see attention.h); the kernel's backward, which takes
  // the weights anew from scores and their logsumexp, loses it in 1e9.
  if (how.mask && how.masking == Attention::Masking::Add) return b.matmul(attention_weights(b, q, k, how), v);
  Arg mask;
  Value any;
  if (how.mask) {
    Value keep = as_bool(b, how.mask);
    any = b.call("aten::any.dim", {{"self", keep}, {"dim", -1}, {"keepdim", true}});
    // A row with nothing to keep: uniform weights without a gradient to the scores.
    q = where_number(b, any, q, 0);
    mask = b.call("aten::logical_or", {{"self", keep}, {"other", b.logical_not(any)}});
  }
  Value y = b.call(
      "aten::scaled_dot_product_attention",
      {{"query", q}, {"key", k}, {"value", v}, {"attn_mask", mask}, {"is_causal", how.causal}, {"scale", how.scale}});
  return any && how.masking == Attention::Masking::Zero ? where_number(b, any, y, 0) : y;
}

Value replace_masked(Builder& b, Value scores, Value mask) {
  return where_number(b, as_bool(b, mask), scores, excluded(b.dtype(scores)));
}

Value attention_weights(Builder& b, Value q, Value k, const Attention& how) {
  const int64_t rank = b.rank(k);
  Value k_transposed = b.call("aten::transpose.int", {{"self", k}, {"dim0", rank - 2}, {"dim1", rank - 1}});
  return attention_weights_of(b, b.matmul(how.scale == 1 ? q : b.mul(q, how.scale), k_transposed), how);
}

Value attention_weights_of(Builder& b, Value scores, const Attention& how) {
  Value mask = how.mask;
  if (how.causal) mask = causal_mask(b, b.size(scores, -2), b.size(scores, -1));
  if (!mask) return softmax(b, scores, -1);
  if (how.masking == Attention::Masking::Add) return softmax(b, b.add(scores, additive(b, mask, b.dtype(scores))), -1);
  Value weights = softmax(b, replace_masked(b, scores, mask), -1);
  return how.masking == Attention::Masking::Zero ? where_number(b, as_bool(b, mask), weights, 0) : weights;
}

Value causal_mask(Builder& b, const Int& query, const Int& key) {
  return b.call("aten::tril", {{"self", b.full({1, query, key}, 1, DType::Bool)}});
}

Value window_mask(Builder& b, const Int& query, const Int& key, int64_t window) {
  auto positions = [&](const Int& n) { return b.call("aten::arange", {{"end", n}, {"dtype", DType::Int64}}); };
  Value apart = b.sub(b.unsqueeze(positions(query), 1), b.unsqueeze(positions(key), 0));
  return b.unsqueeze(b.compare("lt", b.abs(apart), static_cast<double>(window)), 0);
}

}  // namespace midstream::math
