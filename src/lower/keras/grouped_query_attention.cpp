// GroupedQueryAttention of Keras 3: several heads of the query share one of the key and the value.
#include <fmt/format.h>

#include <cmath>

#include "lower/keras/attention_mask.h"
#include "lower/keras/attention_projection.h"
#include "lower/keras/host.h"
#include "lower/math/attention.h"
#include "lower/math/layout.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// [batch, key, heads, width] -> [batch, heads * repeats, key, width]
Value repeated(Builder& b, Value v, int64_t repeats) {
  v = b.permute(v, {0, 2, 1, 3});
  if (repeats == 1) return v;
  const Ints sizes = b.sizes(v);
  Value wide = b.expand(b.unsqueeze(v, 2), {sizes[0], sizes[1], repeats, sizes[2], sizes[3]});
  return b.reshape(wide, {sizes[0], sizes[1] * repeats, sizes[2], sizes[3]});
}

Tensors grouped_query_attention(Layer& l, const Call& call) {
  l.expect_config({"head_dim", "num_query_heads", "num_key_value_heads", "dropout", "use_bias", "use_gate",
                   "sliding_window", "flash_attention", "seed"});
  Builder& b = l.b;
  const AttentionCall in = attention_call(l, call);
  const int64_t heads = l.integer("num_query_heads"), groups = l.integer("num_key_value_heads");
  const int64_t width = l.integer("head_dim");
  if (groups < 1 || heads % groups != 0)
    b.fail(ErrorKind::Mismatch, fmt::format("its {} heads cannot share {} of key and value.", heads, groups));
  auto features = [&](Value v) { return Dims{b.dims(v).back()}; };
  Value q = project(l, "query", "query_dense", in.query, features(in.query), {heads, width});
  Value k = project(l, "key", "key_dense", in.key, features(in.key), {groups, width}), gate;
  if (l.flag("use_gate"))
    gate = project(l, "gate", "gate_dense", in.query, features(in.query), {heads, width}, /*sigmoid=*/true);
  Value v = project(l, "value", "value_dense", in.value, features(in.value), {groups, width});

  q = b.permute(q, {0, 2, 1, 3});
  k = repeated(b, k, heads / groups);
  v = repeated(b, v, heads / groups);
  math::Attention how = in.how;
  how.scale = math::through_float32(b, q, 1 / std::sqrt(static_cast<double>(width)));
  if (how.mask) how.mask = b.unsqueeze(how.mask, -3);
  Value attended, weights;
  if (l.number("dropout") > 0 || in.return_scores) {
    how.masking = math::Attention::Masking::Zero;
    weights = math::attention_weights(b, q, k, how);
    attended = b.matmul(l.number("dropout") > 0 ? drop_attention(l, weights) : weights, v);
  } else {
    attended = math::attention(b, q, k, v, how);
  }
  attended = b.permute(attended, {0, 2, 1, 3});
  if (gate) attended = b.mul(attended, gate);
  Ints joined = b.sizes(attended);
  joined.resize(2);
  joined.push_back(heads * width);
  Tensors result{
      {project(l, "attention_output", "output_dense", b.reshape(attended, joined), {heads, width}, features(in.query)),
       in.output_mask}};
  if (in.return_scores) result.push_back({weights, {}});
  return result;
}

}  // namespace

void register_grouped_query_attention(Registry& r) {
  r.layer("GroupedQueryAttention", grouped_query_attention);
  r.inner_activity_losses.insert("GroupedQueryAttention");
}

}  // namespace midstream::keras
