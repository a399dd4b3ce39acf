// MultiHeadAttention: four projections (each a linear layer on a 2-d weight) around scaled dot-product attention, over
// one or several axes. Formulas of the attention itself: lower/math/attention.h.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lower/keras/attention_mask.h"
#include "lower/keras/attention_projection.h"
#include "lower/keras/host.h"
#include "lower/math/attention.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// How a projected tensor [batch axes..., heads, width] is turned so that attention is over one axis.
struct Axes {
  std::vector<int64_t> batch;      // axes that are not attended over: batch, others, heads
  std::vector<int64_t> attention;  // in the order of the config
  int64_t rank;                    // of the projected tensor
};

Axes attention_axes(const Layer& l, int64_t rank) {
  Axes axes{.rank = rank};
  axes.attention = l.ints("attention_axes");
  for (int64_t& a : axes.attention) a = a < 0 ? a + rank - 1 : a;
  if (axes.attention.empty())
    for (int64_t a = 1; a < rank - 2; ++a) axes.attention.push_back(a);
  for (int64_t a = 0; a < rank - 1; ++a)
    if (std::find(axes.attention.begin(), axes.attention.end(), a) == axes.attention.end()) axes.batch.push_back(a);
  return axes;
}

Ints sizes_of(Builder& b, Value v, const std::vector<int64_t>& axes) {
  Ints out;
  for (int64_t a : axes) out.push_back(b.size(v, a));
  return out;
}

Int product(const Ints& sizes) {
  Int n = 1;
  for (const Int& s : sizes) n = n * s;
  return n;
}

// [batch axes..., heads, width] with the attended axes inside -> [batch axes..., heads, attended, width]
Value heads_first(Builder& b, Value v, const Axes& axes) {
  std::vector<int64_t> perm = axes.batch;
  perm.insert(perm.end(), axes.attention.begin(), axes.attention.end());
  perm.push_back(axes.rank - 1);
  Value turned = b.permute(v, perm);
  if (axes.attention.size() == 1) return turned;
  Ints shape = sizes_of(b, v, axes.batch);
  shape.push_back(product(sizes_of(b, v, axes.attention)));
  shape.push_back(b.size(v, -1));
  return b.reshape(turned, shape);
}

// The way back; `like` is a projected tensor with the sizes wanted (but for the width), `heads_first` of which gave v.
Value heads_last(Builder& b, Value v, Value like, const Axes& axes) {
  std::vector<int64_t> order = axes.batch, perm(static_cast<size_t>(axes.rank));
  order.insert(order.end(), axes.attention.begin(), axes.attention.end());
  order.push_back(axes.rank - 1);
  for (size_t i = 0; i < order.size(); ++i) perm[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  if (axes.attention.size() > 1) {
    Ints shape = sizes_of(b, like, axes.batch);
    for (const Int& s : sizes_of(b, like, axes.attention)) shape.push_back(s);
    shape.push_back(b.size(v, -1));
    v = b.reshape(v, shape);
  }
  return b.permute(v, perm);
}

// A mask [batch, query axes..., key axes...] as the scores [batch axes..., heads, query, key] want it.
Value scores_mask(Builder& b, Value mask, Value q, Value k, const Axes& axes) {
  const auto n = static_cast<int64_t>(axes.attention.size());
  const int64_t scores_rank = static_cast<int64_t>(axes.batch.size()) + 2 * n;
  while (b.rank(mask) < scores_rank) mask = b.unsqueeze(mask, std::max<int64_t>(b.rank(mask) - 2 * n, 0));
  if (n == 1) return mask;
  const Ints query = sizes_of(b, q, axes.attention), key = sizes_of(b, k, axes.attention);
  Ints full, flat;
  for (int64_t i = 0; i < scores_rank - 2 * n; ++i) full.push_back(b.size(mask, i));
  flat = full;
  for (const Ints& s : {query, key}) full.insert(full.end(), s.begin(), s.end());
  flat.push_back(product(query));
  flat.push_back(product(key));
  return b.reshape(b.expand(mask, full), flat);
}

// The weights as Keras returns them: [batch axes..., heads, query axes..., key axes...].
Value returned_scores(Builder& b, Value weights, Value q, Value k, const Axes& axes) {
  if (axes.attention.size() == 1) return weights;
  Ints shape = sizes_of(b, q, axes.batch);
  for (Value v : {q, k})
    for (const Int& s : sizes_of(b, v, axes.attention)) shape.push_back(s);
  return b.reshape(weights, shape);
}

Tensors multi_head_attention(Layer& l, const Call& call) {
  l.expect_config({"num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes",
                   "sliding_window", "flash_attention", "use_gate", "seed", "softmax_robust_masking", "query_shape",
                   "key_shape", "value_shape"});
  Builder& b = l.b;
  const AttentionCall in = attention_call(l, call);
  const int64_t heads = l.integer("num_heads"), key_dim = l.integer("key_dim");
  const int64_t value_dim = l.integer("value_dim", key_dim);
  auto width = [&](Value v) { return Dims{b.dims(v).back()}; };

  Value q = project(l, "query", "query_dense", in.query, width(in.query), {heads, key_dim});
  Value k = project(l, "key", "key_dense", in.key, width(in.key), {heads, key_dim}), gate;
  if (l.flag("use_gate"))
    gate = project(l, "gate", "gate_dense", in.query, width(in.query), {heads, value_dim}, /*sigmoid=*/true);
  Value v = project(l, "value", "value_dense", in.value, width(in.value), {heads, value_dim});

  const Axes axes = attention_axes(l, b.rank(q));
  const Value q_heads = heads_first(b, q, axes), k_heads = heads_first(b, k, axes), v_heads = heads_first(b, v, axes);
  math::Attention how = in.how;
  // Keras 3's cast takes the Python number through float32, Keras 2 multiplies by it as it is.
  how.scale = 1 / std::sqrt(static_cast<double>(key_dim));
  if (l.host().keras3) how.scale = math::through_float32(b, q, how.scale);
  const bool weights_apart = l.number("dropout") > 0 || in.return_scores;
  // Keras 3 has its kernel, which leaves masked weights as they are, for tensors of rank 4 alone.
  if (l.host().keras3 && (weights_apart || b.rank(q) != 4)) how.masking = math::Attention::Masking::Zero;
  if (how.mask) how.mask = scores_mask(b, how.mask, q, k, axes);

  Value attended, weights;
  if (weights_apart) {
    weights = math::attention_weights(b, q_heads, k_heads, how);
    attended = b.matmul(l.number("dropout") > 0 ? drop_attention(l, weights) : weights, v_heads);
  } else {
    attended = math::attention(b, q_heads, k_heads, v_heads, how);
  }
  attended = heads_last(b, attended, q, axes);
  if (gate) attended = b.mul(attended, gate);

  Dims out = l.ints("output_shape");
  if (out.empty()) out = width(in.query);
  Ints joined = b.sizes(attended);
  joined.resize(joined.size() - 2);
  joined.push_back(heads * value_dim);
  if (l.host().keras3)
    for (Value v : {in.query, in.key, in.value}) l.host().clear_mask(v);
  Tensors result{{project(l, "attention_output", "output_dense", b.reshape(attended, joined), {heads, value_dim}, out),
                  in.output_mask}};
  if (in.return_scores) result.push_back({returned_scores(b, weights, q, k, axes), {}});
  return result;
}

}  // namespace

void register_multi_head_attention(Registry& r) {
  r.layer("MultiHeadAttention", multi_head_attention);
  r.inner_activity_losses.insert("MultiHeadAttention");
  r.clears_masks.insert("MultiHeadAttention");
}

}  // namespace midstream::keras
