// Keras' learning-rate schedules. All arithmetic is float32, whatever the model's dtype: Keras makes float32 tensors of
// the config's numbers. A division by a constant is a multiplication by its float32 reciprocal, because TensorFlow's
// graph optimizer rewrites it so in the compiled training step; so is a product of two constants taken first.
#include <cmath>
#include <numbers>

#include "lower/keras/config.h"
#include "lower/keras/training.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

float f32(const json& config, const char* key, double otherwise) {
  return static_cast<float>(number(config, key, otherwise));
}

Value times(Builder& b, Value v, float by) { return b.mul(v, static_cast<double>(by)); }
Value plus(Builder& b, Value v, float by) { return b.add(v, static_cast<double>(by)); }
Value over(Builder& b, Value v, float by) { return times(b, v, 1.0f / by); }
Value minus_from(Builder& b, float a, Value v) { return b.rsub(static_cast<double>(a), v); }
Value constant(Builder& b, float v) { return b.constant(static_cast<double>(v), DType::Float32); }
Value floor(Builder& b, Value v) { return b.unary("aten::floor", v); }
Value power(Builder& b, Value base, Value exponent) {
  return b.call("midstream::scalar_pow", {{"self", base}, {"exponent", exponent}});
}
Value cosine(Builder& b, Value v) { return b.unary("midstream::scalar_cos", v); }
Value logarithm(Builder& b, Value v) { return b.unary("midstream::scalar_log", v); }

// step / decay_steps, whole numbers only where `staircase` is set
Value progress(Builder& b, const json& config, Value step) {
  Value p = over(b, b.cast(step, DType::Float32), f32(config, "decay_steps", 1));
  return flag(config, "staircase", false) ? floor(b, p) : p;
}

Value exponential_decay(Builder& b, const json& config, Value step) {
  Value p = progress(b, config, step);
  return times(b, power(b, constant(b, f32(config, "decay_rate", 0)), p), f32(config, "initial_learning_rate", 0));
}

Value inverse_time_decay(Builder& b, const json& config, Value step) {
  const float rate = f32(config, "decay_rate", 0), steps = f32(config, "decay_steps", 1);
  Value grown = flag(config, "staircase", false) ? times(b, progress(b, config, step), rate)
                                                 : times(b, b.cast(step, DType::Float32), rate * (1.0f / steps));
  Value denominator = plus(b, grown, 1.0f);
  return b.div(constant(b, f32(config, "initial_learning_rate", 0)), denominator);
}

Value piecewise_constant(Builder& b, const json& config, Value step) {
  const json& boundaries = config.at("boundaries");
  const json& values = config.at("values");
  if (values.size() != boundaries.size() + 1)
    b.fail(ErrorKind::Mismatch, "PiecewiseConstantDecay has " + std::to_string(boundaries.size()) + " boundaries and " +
                                    std::to_string(values.size()) + " values.");
  Value rate = constant(b, static_cast<float>(values[0].get<double>()));
  for (size_t i = 0; i < boundaries.size(); ++i) {
    Value after = b.compare("gt", step, std::trunc(boundaries[i].get<double>()));
    rate = b.where(after, constant(b, static_cast<float>(values[i + 1].get<double>())), rate);
  }
  return rate;
}

Value polynomial_decay(Builder& b, const json& config, Value step) {
  float first = f32(config, "initial_learning_rate", 0), last = f32(config, "end_learning_rate", 0.0001);
  float steps = f32(config, "decay_steps", 1);
  Value s = b.cast(step, DType::Float32);
  Value p;
  if (flag(config, "cycle", false)) {
    Value round = b.unary("aten::ceil", over(b, s, steps));
    Value multiple = b.where(b.compare("eq", s, 0.0), constant(b, 1.0f), round);
    p = b.div(s, times(b, multiple, steps));
  } else {
    p = over(b, math::minimum(b, s, static_cast<double>(steps)), steps);
  }
  Value left = power(b, minus_from(b, 1.0f, p), constant(b, f32(config, "power", 1.0)));
  return plus(b, times(b, left, first - last), last);
}

// from * ((1 - alpha) * 0.5 (1 + cos(angle)) + alpha)
Value cosine_shape(Builder& b, Value angle, float from, float alpha) {
  Value half = times(b, plus(b, cosine(b, angle), 1.0f), 0.5f);
  if (alpha == 0) return times(b, half, from);
  return times(b, plus(b, times(b, half, 1.0f - alpha), alpha), from);
}

Value cosine_decay(Builder& b, const json& config, Value step) {
  constexpr float pi = std::numbers::pi_v<float>;
  float first = f32(config, "initial_learning_rate", 0), steps = f32(config, "decay_steps", 1);
  float alpha = f32(config, "alpha", 0);
  Value s = b.cast(step, DType::Float32);
  if (!has(config, "warmup_target")) {
    s = math::minimum(b, s, static_cast<double>(steps));
    return cosine_shape(b, times(b, s, pi * (1.0f / steps)), first, alpha);
  }
  float target = f32(config, "warmup_target", 0), warmup = f32(config, "warmup_steps", 0);
  s = math::minimum(b, s, static_cast<double>(steps + warmup));
  // The optimizer does not see into the branches of Keras' cond: these divisions stay divisions.
  Value rising = first == target ? constant(b, target)
                                 : plus(b, times(b, b.div(s, static_cast<double>(warmup)), target - first), first);
  Value angle = times(b, b.div(plus(b, s, -warmup), static_cast<double>(steps)), pi);
  return b.where(b.compare("lt", s, static_cast<double>(warmup)), rising, cosine_shape(b, angle, target, alpha));
}

Value cosine_decay_restarts(Builder& b, const json& config, Value step) {
  constexpr float pi = std::numbers::pi_v<float>;
  float first = f32(config, "initial_learning_rate", 0), alpha = f32(config, "alpha", 0);
  float t_mul = f32(config, "t_mul", 2), m_mul = f32(config, "m_mul", 1);
  Value fraction = over(b, b.cast(step, DType::Float32), f32(config, "first_decay_steps", 1));
  Value restart;
  if (t_mul == 1.0f) {
    restart = floor(b, fraction);
    fraction = b.sub(fraction, restart);
  } else {
    Value grown = logarithm(b, minus_from(b, 1.0f, times(b, fraction, 1.0f - t_mul)));
    restart = floor(b, b.div(grown, constant(b, std::log(t_mul))));
    Value scale = power(b, constant(b, t_mul), restart);
    Value before = b.div(minus_from(b, 1.0f, scale), constant(b, 1.0f - t_mul));
    fraction = b.div(b.sub(fraction, before), scale);
  }
  Value factor = power(b, constant(b, m_mul), restart);
  Value decayed = b.mul(times(b, factor, (1.0f - alpha) * 0.5f), plus(b, cosine(b, times(b, fraction, pi)), 1.0f));
  return times(b, plus(b, decayed, alpha), first);
}

}  // namespace

void register_schedules(Registry& r) {
  r.schedules.add("CosineDecay", cosine_decay);
  r.schedules.add("CosineDecayRestarts", cosine_decay_restarts);
  r.schedules.add("ExponentialDecay", exponential_decay);
  r.schedules.add("InverseTimeDecay", inverse_time_decay);
  r.schedules.add("PiecewiseConstantDecay", piecewise_constant);
  r.schedules.add("PolynomialDecay", polynomial_decay);
}

}  // namespace midstream::keras
