// Adam and its relatives. Order and rounding of every operation are Keras': in float64 the results agree to the last
// bit. Per-occurrence gradients: Keras 3 squares (or takes the absolute value of) every occurrence by itself and sums
// then; Keras 2 sums first, and decays the moments in a step of its own.
#include <cmath>

#include "lower/keras/optimizer_rule.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

// m + (g - m) * rate, or for Keras 2's sparse gradients m - m * rate + g * rate.
Value moved(Builder& b, Value m, Value g, double rate, bool in_two_steps) {
  if (!in_two_steps) return b.add(m, b.mul(b.sub(g, m), rate));
  return b.add(b.add(m, b.mul(b.neg(m), rate)), b.mul(g, rate));
}
// Legacy, sparse: m * (1 - rate) + g * rate.
Value mixed(Builder& b, Value m, Value g, double beta) { return b.add(b.mul(m, beta), b.mul(g, 1.0 - beta)); }

class AdamFamily : public OptimizerRule {
 public:
  explicit AdamFamily(const json& config) : era(era_of(config)) {
    merged_gradients = era != Era::Keras3;
    // Hyperparameters of legacy optimizers are float32 variables.
    auto hyper = [&](const char* key, double otherwise) {
      double v = number(config, key, otherwise);
      return era == Era::Legacy ? through_float32(v) : v;
    };
    beta_1 = hyper("beta_1", 0.9);
    beta_2 = hyper("beta_2", 0.999);
    epsilon = number(config, "epsilon", 1e-7);
  }

 protected:
  Value squares(Builder& b, Value variable, const Gradient& g, Value sum) const {
    return merged_gradients ? b.square(sum) : dense(b, variable, g, b.square(g.values));
  }

  const Era era;
  double beta_1 = 0, beta_2 = 0, epsilon = 0;
};

class Adam final : public AdamFamily {
 public:
  explicit Adam(const json& config)
      : AdamFamily(config),
        amsgrad(flag(config, "amsgrad", false)),
        adaptive_epsilon(flag(config, "adaptive_epsilon", false)) {}

  std::vector<SlotSpec> slots() const override {
    std::vector<SlotSpec> s{{"momentum"}, {"velocity"}};
    if (amsgrad) s.push_back({.name = "velocity_hat", .run = 1});
    return s;
  }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values&, DType dtype) const override {
    Value lr = b.cast(learning_rate, dtype), t = step_after(b, step, 1, dtype);
    Value left_1 = b.rsub(1.0, power(b, through_float32(beta_1), t));
    Value left_2 = exact_sqrt(b, b.rsub(1.0, power(b, through_float32(beta_2), t)));
    Values out{lr, b.div(b.mul(lr, left_2), left_1)};
    if (era == Era::Legacy) out.push_back(b.mul(lr, b.div(left_2, left_1)));  // the sparse update rounds in this order
    if (adaptive_epsilon) out.push_back(b.mul(left_2, epsilon));
    return {out, {}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    Value sum = dense(b, variable, g), squared = squares(b, variable, g, sum);
    if (era == Era::Legacy && g.is_slices()) {
      Value m = mixed(b, s[0], sum, beta_1), v = mixed(b, s[1], squared, beta_2);
      return finish(b, p, p[2], variable, m, v, s);
    }
    bool two_steps = era == Era::Keras2 && g.is_slices();
    Value m = moved(b, s[0], sum, 1.0 - beta_1, two_steps);
    Value v = moved(b, s[1], squared, 1.0 - beta_2, two_steps);
    return finish(b, p, p[1], variable, m, v, s);
  }

 private:
  Update finish(Builder& b, const Values& p, Value alpha, Value variable, Value m, Value v, const Values& s) const {
    Update out{{}, {m, v}};
    Value under = v;
    if (amsgrad) {
      under = b.call("aten::maximum", {{"self", s[2]}, {"other", v}});
      out.slots.push_back(under);
    }
    Value root = exact_sqrt(b, under);
    Value denominator = adaptive_epsilon ? b.add(root, p.back()) : b.add(root, epsilon);
    out.variable = b.sub(variable, b.div(b.mul(m, alpha), denominator));
    return out;
  }

  const bool amsgrad, adaptive_epsilon;
};

class Adamax final : public AdamFamily {
 public:
  using AdamFamily::AdamFamily;
  std::vector<SlotSpec> slots() const override { return {{"momentum"}, {"norm"}}; }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values&, DType dtype) const override {
    Value t = step_after(b, step, 1, dtype), lr = b.cast(learning_rate, dtype);
    Value left = b.rsub(1.0, power(b, through_float32(beta_1), t));
    return {{lr, left, b.div(lr, left)}, {}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    bool two_steps = era == Era::Keras2 && g.is_slices();
    Value sum = dense(b, variable, g);
    if (era == Era::Legacy) return legacy(b, p, variable, g, sum, s);
    Value m = moved(b, s[0], sum, 1.0 - beta_1, two_steps);
    Value size = merged_gradients ? b.abs(sum) : dense(b, variable, g, b.abs(g.values));
    Value u = b.call("aten::maximum", {{"self", b.mul(s[1], beta_2)}, {"other", size}});
    Value step = b.div(b.mul(m, p[0]), b.mul(b.add(u, epsilon), p[1]));
    return {b.sub(variable, step), {m, u}};
  }

 private:
  // ApplyAdaMax; rows that no index names stay as they are.
  Update legacy(Builder& b, const Values& p, Value variable, const Gradient& g, Value sum, const Values& s) const {
    Value m = g.is_slices() ? mixed(b, s[0], sum, beta_1) : moved(b, s[0], sum, 1.0 - beta_1, false);
    Value u = b.call("aten::maximum", {{"self", b.mul(s[1], beta_2)}, {"other", b.abs(sum)}});
    Value after = b.sub(variable, b.mul(b.div(m, b.add(u, epsilon)), p[2]));
    return {only_hit_rows(b, g, after, variable), {only_hit_rows(b, g, m, s[0]), only_hit_rows(b, g, u, s[1])}};
  }
};

class Nadam final : public AdamFamily {
 public:
  explicit Nadam(const json& config) : AdamFamily(config), schedule_decay(number(config, "decay", 0.004)) {}
  std::vector<SlotSpec> slots() const override { return {{"momentum"}, {"velocity"}}; }
  std::vector<SlotSpec> scalars() const override { return {{"u_product", 1.0}}; }

  // Keras up to 2.2 multiplies once a step. tf_keras (2.11 and later) means to, but in a compiled step, fit's default,
  // it counts its multiplications while TensorFlow traces, and TensorFlow traces the step twice: with n variables, the
  // one at position i multiplies at every step t (from 0) except t = n - 1 + i, so n times a step.
  double scalar_after(const std::string&, int64_t updates, size_t variables) const override {
    const double beta = through_float32(beta_1), decay = through_float32(0.96);
    const double unit = era == Era::Legacy ? schedule_decay : 1.0;
    const auto n = static_cast<int64_t>(variables);
    double product = 1.0;
    for (int64_t t = 0; t < updates && product > 0; ++t) {
      const int64_t times = era == Era::Legacy ? 1 : n - (t >= n - 1 && t < 2 * n - 1 ? 1 : 0);
      product *=
          std::pow(beta * (1.0 - 0.5 * std::pow(decay, static_cast<double>(t + 1) * unit)), static_cast<double>(times));
    }
    return product;
  }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values& scalars, DType dtype) const override {
    Value t = step_after(b, step, 1, dtype), next = step_after(b, step, 2, dtype);
    const double beta = through_float32(beta_1), decay = through_float32(0.96);
    auto schedule = [&](double base, Value at) {
      if (era == Era::Legacy) at = b.mul(at, schedule_decay);
      return b.rsub(1.0, b.mul(power(b, base, at), 0.5));
    };
    Value u = b.mul(schedule(decay, t), beta), u_next = b.mul(schedule(decay, next), beta);
    // Keras 3 computes the running product from the exact 0.96 and beta, everything else from the rounded ones.
    Value product = era == Era::Keras3 ? b.mul(b.mul(scalars[0], beta_1), schedule(0.96, t)) : b.mul(scalars[0], u);
    Value left = b.rsub(1.0, product), left_next = b.rsub(1.0, b.mul(product, u_next));
    Value left_2 = b.rsub(1.0, power(b, through_float32(beta_2), t));
    return {{b.cast(learning_rate, dtype), u_next, left_next, b.rsub(1.0, u), left, left_2}, {product}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    bool two_steps = era == Era::Keras2 && g.is_slices();
    Value sum = dense(b, variable, g);
    if (era == Era::Legacy) return legacy(b, p, variable, g, sum, s);
    Value m = moved(b, s[0], sum, 1.0 - through_float32(beta_1), two_steps);
    Value v = moved(b, s[1], squares(b, variable, g, sum), 1.0 - through_float32(beta_2), two_steps);
    Value now =
        merged_gradients ? b.div(b.mul(sum, p[3]), p[4]) : dense(b, variable, g, b.div(b.mul(g.values, p[3]), p[4]));
    Value m_hat = b.add(b.div(b.mul(m, p[1]), p[2]), now);
    Value v_hat = b.div(v, p[5]);
    return {b.sub(variable, b.div(b.mul(m_hat, p[0]), b.add(exact_sqrt(b, v_hat), epsilon))), {m, v}};
  }

 private:
  // The moments decay everywhere, the variable moves in the rows that an index names.
  Update legacy(Builder& b, const Values& p, Value variable, const Gradient& g, Value sum, const Values& s) const {
    Value m = mixed(b, s[0], sum, beta_1), v = mixed(b, s[1], b.square(sum), beta_2);
    Value m_hat = b.add(b.mul(b.div(sum, p[4]), p[3]), b.mul(b.div(m, p[2]), p[1]));
    Value root = exact_sqrt(b, b.div(v, p[5]));
    Value after = b.sub(variable, b.div(b.mul(m_hat, p[0]), b.add(root, epsilon)));
    return {only_hit_rows(b, g, after, variable), {m, v}};
  }

  const double schedule_decay;
};

// The variable is a mean of "momentum", which is stepped, and of the average x of its past, which is in no slot: it is
// found again from the other two.
class ScheduleFreeAdamW final : public OptimizerRule {
 public:
  explicit ScheduleFreeAdamW(const json& config)
      : beta_1(through_float32(number(config, "beta_1", 0.9))),
        beta_2(through_float32(number(config, "beta_2", 0.999))),
        epsilon(through_float32(number(config, "epsilon", 1e-8))),
        warmup(static_cast<double>(integer(config, "warmup_steps", 0))) {}
  std::vector<SlotSpec> slots() const override {
    return {{.name = "momentum", .copies_variable = true}, {.name = "velocity"}};
  }
  double default_learning_rate() const override { return 0.0025; }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values&, DType dtype) const override {
    Value t = step_after(b, step, 1, dtype), lr = b.cast(learning_rate, dtype), stepped = lr;
    if (warmup > 0) stepped = b.mul(lr, b.clamp(b.div(t, warmup), std::nullopt, 1.0));
    Value weight = b.call("aten::reciprocal", {{"self", t}});
    return {{lr, stepped, b.rsub(1.0, power(b, beta_2, t)), weight, b.rsub(1.0, weight)}, {}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    Value squared = dense(b, variable, g, b.square(g.values));
    Value velocity = b.add(s[1], b.mul(b.sub(squared, s[1]), 1.0 - beta_2));
    Value denominator = b.add(exact_sqrt(b, b.div(velocity, p[2])), epsilon);
    Value step = b.div(b.mul(g.values, p[1]), at_occurrences(b, denominator, g));
    Value momentum = scatter_add(b, s[0], g, b.neg(step));
    // Keras means the momentum before the step; under TensorFlow it reads the variable after it.
    Value x = b.div(b.sub(variable, b.mul(momentum, 1.0 - beta_1)), beta_1);
    x = b.add(b.mul(x, p[4]), b.mul(momentum, p[3]));
    return {b.add(b.mul(momentum, 1.0 - beta_1), b.mul(x, beta_1)), {momentum, velocity}};
  }

 private:
  const double beta_1, beta_2, epsilon, warmup;
};

template <class Rule>
OptimizerFn make() {
  return [](const json& config) { return std::make_unique<Rule>(config); };
}

}  // namespace

void register_optimizers_adam(Registry& r) {
  r.optimizers.add("Adam", make<Adam>());
  r.optimizers.add("AdamW", make<Adam>());
  r.optimizers.add("Adamax", make<Adamax>());
  r.optimizers.add("Nadam", make<Nadam>());
  r.optimizers.add("ScheduleFreeAdamW", make<ScheduleFreeAdamW>());
}

}  // namespace midstream::keras
