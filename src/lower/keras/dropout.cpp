// Layers that are random in training. With a seed in the file they follow Keras 3's streams bit for bit: one draw of
// the layer's SeedGenerator a call, its counter one up; without one they draw from PyTorch's generator.
#include <cmath>

#include "lower/keras/layout.h"
#include "lower/math/elementwise.h"
#include "lower/math/random.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Value seed(Layer& l) { return math::seed_of_keras(l.b, l.draw_seed()); }

// f(x) in training, x otherwise.
template <class F>
Value in_training(Layer& l, Value x, const F& f) {
  return l.b.cond(l.training(), [&] { return Values{f(x)}; }, [&] { return Values{x}; })[0];
}

double rate_of(const Layer& l) {
  const double rate = l.number("rate");
  if (rate < 0 || rate > 1)
    l.b.fail(ErrorKind::Mismatch, "config entry 'rate' is " + std::to_string(rate) + ", one in [0, 1] wanted.");
  return rate;
}

// The config's noise_shape, where null stands for the input's size; empty where it has none.
Ints noise_shape(const Layer& l, Value x) {
  if (!l.has("noise_shape")) return {};
  Ints shape = l.b.sizes(x);
  const json& given = l.config.at("noise_shape");
  if (!given.is_array() || given.size() != shape.size())
    l.b.fail(ErrorKind::Mismatch, "config entry 'noise_shape' is " + given.dump() + " for an input of shape " +
                                      to_string(l.b.dims(x)) + ".");
  for (size_t i = 0; i < shape.size(); ++i)
    if (!given[i].is_null()) shape[i] = given[i].get<int64_t>();
  return shape;
}

// drop(x, rate, seed) in training.
template <class F>
Value dropped(Layer& l, Value x, const F& drop) {
  const double rate = rate_of(l);
  if (rate == 0) return x;
  return in_training(l, x, [&](Value v) { return rate == 1 ? l.b.zeros_like(v) : drop(v, rate, seed(l)); });
}

Tensors dropout(Layer& l, const Call& call) {
  l.expect_config({"rate", "noise_shape", "seed"});
  Value x = call.one().value;
  const Ints shape = noise_shape(l, x);
  return l.keep_mask(
      call, dropped(l, x, [&](Value v, double rate, Value seed) { return math::dropout(l.b, v, rate, shape, seed); }));
}

// Whole channels at once.
LayerFn spatial_dropout(size_t spatial) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"rate", "seed", "data_format", "noise_shape"});
    expect_rank(l, call.one().value, static_cast<int64_t>(spatial) + 2);
    Value y = dropped(l, math::to_channels_first(l.b, call.one().value, layout_of(l)),
                      [&](Value v, double rate, Value seed) { return math::channel_dropout(l.b, v, rate, seed); });
    return l.keep_mask(call, math::from_channels_first(l.b, y, layout_of(l)));
  };
}

// A factor in x's own dtype: a half-precision tensor times a Python number would be computed more precisely than in
// TensorFlow.
Value scaled(Builder& b, Value x, double factor) { return b.mul(x, b.constant(factor, b.dtype(x))); }

Tensors gaussian_noise(Layer& l, const Call& call) {
  l.expect_config({"stddev", "seed"});
  const double stddev = l.number("stddev");
  if (stddev == 0) return l.keep_mask(call, call.one().value);
  return l.keep_mask(call, in_training(l, call.one().value, [&](Value x) {
                       return l.b.add(
                           x, scaled(l.b, math::random_normal(l.b, l.b.sizes(x), seed(l), l.b.dtype(x)), stddev));
                     }));
}

Tensors gaussian_dropout(Layer& l, const Call& call) {
  l.expect_config({"rate", "seed"});
  const double rate = rate_of(l);
  if (rate == 0) return l.keep_mask(call, call.one().value);
  return l.keep_mask(call, in_training(l, call.one().value, [&](Value x) {
                       Value noise = math::random_normal(l.b, l.b.sizes(x), seed(l), l.b.dtype(x));
                       return l.b.mul(x, l.b.add(scaled(l.b, noise, std::sqrt(rate / (1 - rate))), 1.0));
                     }));
}

// Dropped values become selu's lower limit, and an affine map restores mean and variance.
Tensors alpha_dropout(Layer& l, const Call& call) {
  l.expect_config({"rate", "noise_shape", "seed"});
  const double rate = rate_of(l);
  if (rate == 0) return l.keep_mask(call, call.one().value);
  constexpr double kAlpha = 1.6732632423543772848170429916717, kScale = 1.0507009873554804934193349852946;
  constexpr double kLimit = -kAlpha * kScale;
  const double a = 1 / std::sqrt((1 - rate) * (1 + rate * kLimit * kLimit)), offset = -a * kLimit * rate;
  const Ints given = noise_shape(l, call.one().value);
  return l.keep_mask(call, in_training(l, call.one().value, [&](Value x) {
                       Builder& b = l.b;
                       // Keras draws in floatx, not in x's dtype; what floatx was, the weights' dtype tells.
                       const DType floatx = l.variable_dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
                       Value uniform = math::random_uniform(b, given.empty() ? b.sizes(x) : given, seed(l), floatx);
                       Value kept = b.cast(b.compare("ge", uniform, rate), b.dtype(x));
                       Value y = b.add(b.mul(x, kept), b.mul(b.rsub(1.0, kept), kLimit));
                       return b.add(b.mul(y, a), offset);
                     }));
}

}  // namespace

void register_dropout(Registry& r) {
  r.layer("AlphaDropout", alpha_dropout);
  r.layer("Dropout", dropout);
  r.layer("GaussianDropout", gaussian_dropout);
  r.layer("GaussianNoise", gaussian_noise);
  r.layer("SpatialDropout1D", spatial_dropout(1));
  r.layer("SpatialDropout2D", spatial_dropout(2));
  r.layer("SpatialDropout3D", spatial_dropout(3));
}

}  // namespace midstream::keras
