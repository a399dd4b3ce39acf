// Attention and AdditiveAttention: of a query [batch, query, width] to a value and a key [batch, key, width], with one
// scale at most as weight.
#include "lower/math/attention.h"

#include <fmt/format.h>

#include "lower/keras/attention_mask.h"
#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/random.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

struct Inputs {
  Tensor query, value, key;
  math::Attention how;
  bool return_scores;
};

// Both Keras add to the scores here.
Inputs inputs_of(Layer& l, const Call& call) {
  Builder& b = l.b;
  if (call.inputs.size() < 2 || call.inputs.size() > 3)
    b.fail(ErrorKind::Mismatch,
           fmt::format("it is called on {} tensors, wanted query, value and maybe key.", call.inputs.size()));
  Inputs in{
      .query = call.inputs[0], .value = call.inputs[1], .key = call.inputs.back(), .how = {}, .return_scores = false};
  in.how.masking = math::Attention::Masking::Add;
  in.how.causal = call_flag(call, "use_causal_mask") || l.flag("causal");
  if (in.value.mask) {
    in.how.mask = b.unsqueeze(b.cast(in.value.mask, DType::Bool), -2);
    if (in.how.causal)
      in.how.mask =
          b.logical_and(in.how.mask, math::causal_mask(b, b.size(in.query.value, 1), b.size(in.key.value, 1)));
    in.how.causal = false;
  }
  in.return_scores = call_flag(call, "return_attention_scores");
  return in;
}

// sum(weight * tanh(query + key)) over the features, for each pair of a query and a key.
Value additive_scores(Builder& b, const Inputs& in, Value before, Value after) {
  Value sum = b.add(b.unsqueeze(in.query.value, -2), b.unsqueeze(in.key.value, -3));
  Value curved = b.unary("aten::tanh", before ? b.mul(before, sum) : sum);
  return b.sum(after ? b.mul(after, curved) : curved, {-1});
}

Value dropped(Layer& l, Value weights) {
  const double rate = l.number("dropout");
  if (rate <= 0) return weights;
  Builder& b = l.b;
  auto drop = [&] {
    if (rate >= 1) return Values{b.zeros_like(weights)};
    Value seed = l.draw_seed();
    return Values{math::dropout(b, weights, rate, {}, seed ? math::seed_of_keras(b, seed) : seed)};
  };
  return b.cond(l.training(), drop, [&] { return Values{weights}; })[0];
}

Tensors finish(Layer& l, const Inputs& in, Value attended, Value weights) {
  Builder& b = l.b;
  if (in.query.mask) attended = math::where_number(b, b.unsqueeze(b.cast(in.query.mask, DType::Bool), -1), attended, 0);
  Tensors out{{attended, in.query.mask}};
  if (in.return_scores) out.push_back({weights, {}});
  return out;
}

Tensors from_scores(Layer& l, const Inputs& in, Value scores) {
  Value weights = dropped(l, math::attention_weights_of(l.b, scores, in.how));
  return finish(l, in, l.b.matmul(weights, in.value.value), weights);
}

Tensors attention(Layer& l, const Call& call) {
  l.expect_config({"use_scale", "score_mode", "dropout", "causal", "seed"});
  Builder& b = l.b;
  const Inputs in = inputs_of(l, call);
  Value scale = l.flag("use_scale") ? l.weight("scale", {}) : Value{};
  const std::string mode = l.text("score_mode", "dot");
  if (mode == "concat") {
    Value weight = l.weight("concat_score_weight", {});
    return from_scores(l, in, b.mul(weight, additive_scores(b, in, scale, {})));
  }
  if (mode != "dot") b.fail(ErrorKind::Unsupported, fmt::format("score_mode is '{}', known are dot and concat.", mode));
  Value q = scale ? b.mul(in.query.value, scale) : in.query.value;
  if (in.return_scores || l.number("dropout") > 0) {
    Value weights = dropped(l, math::attention_weights(b, q, in.key.value, in.how));
    return finish(l, in, b.matmul(weights, in.value.value), weights);
  }
  return finish(l, in, math::attention(b, q, in.key.value, in.value.value, in.how), {});
}

Tensors additive_attention(Layer& l, const Call& call) {
  l.expect_config({"use_scale", "dropout", "causal", "seed"});
  const Inputs in = inputs_of(l, call);
  Value scale = l.flag("use_scale", true) ? l.weight("scale", {l.b.dims(in.value.value).back()}) : Value{};
  return from_scores(l, in, additive_scores(l.b, in, {}, scale));
}

}  // namespace

void register_attention(Registry& r) {
  r.layer("AdditiveAttention", additive_attention);
  r.layer("Attention", attention);
}

}  // namespace midstream::keras
