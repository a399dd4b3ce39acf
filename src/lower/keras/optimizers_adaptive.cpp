// Rules that divide by a running or growing sum of squares: RMSprop, Adagrad, Adadelta, Ftrl.
#include "lower/keras/optimizer_rule.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

class RmsProp final : public OptimizerRule {
 public:
  explicit RmsProp(const json& config) : era(era_of(config)), centered(flag(config, "centered", false)) {
    auto hyper = [&](const char* key, double otherwise) {
      double v = number(config, key, otherwise);
      return era == Era::Legacy ? through_float32(v) : v;
    };
    rho = hyper("rho", 0.9);
    momentum = hyper("momentum", 0.0);
    epsilon = number(config, "epsilon", 1e-7);
    merged_gradients = era != Era::Keras3;
  }

  std::vector<SlotSpec> slots() const override {
    std::vector<SlotSpec> s{{"velocity"}};
    if (momentum > 0) s.push_back({.name = "momentum", .run = 1});
    if (centered) s.push_back({.name = "average_gradient", .run = 2});
    return s;
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& gradient, const Values& s) const override {
    Gradient g = merged_gradients ? Gradient{dense(b, variable, gradient), {}} : gradient;
    if (era == Era::Legacy && momentum > 0) return legacy_kernel(b, p, variable, gradient, g.values, s);
    auto average = [&](Value old, Value values) {
      return b.add(b.mul(old, rho), dense(b, variable, g, b.mul(values, 1.0 - rho)));
    };
    Value velocity = average(s[0], b.square(g.values));
    Value under = velocity, mean;
    if (centered) {
      mean = average(s.back(), g.values);
      under = b.sub(velocity, b.square(mean));
    }
    Value step = increment(b, p, g, under);
    Update out{{}, {velocity}};
    if (momentum > 0) {
      Value m = b.add(b.mul(s[1], momentum), dense(b, variable, g, step));
      out.variable = b.sub(variable, m);
      out.slots.push_back(m);
    } else {
      out.variable = g.is_slices() ? scatter_add(b, variable, g, b.neg(step)) : b.sub(variable, step);
    }
    if (centered) out.slots.push_back(mean);
    return out;
  }

 private:
  // lr * g / sqrt(under + epsilon), each Keras in its own roundings; per occurrence in Keras 3.
  Value increment(Builder& b, const Values& p, const Gradient& g, Value under) const {
    Value scaled = b.mul(g.values, p[0]);
    if (era == Era::Legacy) return b.div(scaled, b.add(exact_sqrt(b, under), epsilon));
    Value denominator = b.add(under, epsilon);
    if (era == Era::Keras2) return b.mul(scaled, math::rsqrt(b, denominator));
    return b.div(scaled, at_occurrences(b, exact_sqrt(b, denominator), g));
  }

  // TensorFlow's ApplyRMSProp and ApplyCenteredRMSProp, which legacy uses only with momentum; the sparse kernels leave
  // rows alone that no index names, and round differently.
  Update legacy_kernel(Builder& b, const Values& p, Value variable, const Gradient& gradient, Value g,
                       const Values& s) const {
    bool sparse = gradient.is_slices();
    auto average = [&](Value old, Value value) {
      if (sparse) return b.add(b.mul(old, rho), b.mul(value, 1.0 - rho));
      return b.add(old, b.mul(b.sub(value, old), 1.0 - rho));
    };
    Value velocity = average(s[0], b.square(g));
    Value under = velocity, mean;
    if (centered) {
      mean = average(s[2], g);
      under = b.sub(velocity, b.square(mean));
    }
    under = b.add(under, epsilon);
    Value step = sparse ? b.mul(b.mul(math::rsqrt(b, under), p[0]), g) : b.div(b.mul(g, p[0]), exact_sqrt(b, under));
    Value m = b.add(b.mul(s[1], momentum), step);
    Update out{only_hit_rows(b, gradient, b.sub(variable, m), variable),
               {only_hit_rows(b, gradient, velocity, s[0]), only_hit_rows(b, gradient, m, s[1])}};
    if (centered) out.slots.push_back(only_hit_rows(b, gradient, mean, s[2]));
    return out;
  }

  const Era era;
  const bool centered;
  double rho = 0, momentum = 0, epsilon = 0;
};

class Adagrad final : public OptimizerRule {
 public:
  explicit Adagrad(const json& config)
      : era(era_of(config)),
        initial(number(config, "initial_accumulator_value", 0.1)),
        epsilon(number(config, "epsilon", 1e-7)) {
    merged_gradients = era != Era::Keras3;
  }
  // Keras 3's constant initializer passes through float32.
  std::vector<SlotSpec> slots() const override {
    return {{"accumulator", era == Era::Keras3 ? through_float32(initial) : initial}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& gradient, const Values& s) const override {
    Gradient g = merged_gradients ? Gradient{dense(b, variable, gradient), {}} : gradient;
    Value sum = scatter_add(b, s[0], g, b.square(g.values));
    Value root = era == Era::Legacy ? b.add(exact_sqrt(b, sum), epsilon) : exact_sqrt(b, b.add(sum, epsilon));
    Value step = b.div(b.mul(g.values, p[0]), at_occurrences(b, root, g));
    return {g.is_slices() ? scatter_add(b, variable, g, b.neg(step)) : b.sub(variable, step), {sum}};
  }

 private:
  const Era era;
  const double initial, epsilon;
};

class Adadelta final : public OptimizerRule {
 public:
  explicit Adadelta(const json& config) : era(era_of(config)) {
    rho = number(config, "rho", 0.95);
    if (era == Era::Legacy) rho = through_float32(rho);
    epsilon = number(config, "epsilon", 1e-7);
    merged_gradients = era != Era::Keras3;
  }
  std::vector<SlotSpec> slots() const override { return {{"accumulated_grad"}, {"accumulated_delta_var"}}; }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& gradient, const Values& s) const override {
    Gradient g = merged_gradients ? Gradient{dense(b, variable, gradient), {}} : gradient;
    auto rms = [&](Value v) { return exact_sqrt(b, b.add(v, epsilon)); };
    auto share = [&](Value v) {  // (1 - rho) v^2, in the order in which each Keras multiplies
      if (era == Era::Keras2 && !gradient.is_slices()) return b.mul(b.mul(v, 1.0 - rho), v);
      return b.mul(b.square(v), 1.0 - rho);
    };
    Value grads = era == Era::Keras2 && gradient.is_slices()
                      ? b.add(b.add(s[0], b.mul(s[0], rho - 1.0)), share(g.values))
                      : b.add(b.mul(s[0], rho), dense(b, variable, g, share(g.values)));
    if (era == Era::Legacy) return legacy(b, p, variable, gradient, g.values, grads, s);
    // -(rms(deltas) * g) / rms(grads)
    Value up = b.mul(at_occurrences(b, rms(s[1]), g), g.values);
    Value delta = b.neg(b.div(up, at_occurrences(b, rms(grads), g)));
    Value squared = era == Era::Keras2 ? b.mul(b.mul(delta, 1.0 - rho), delta) : b.mul(b.square(delta), 1.0 - rho);
    Value deltas = b.add(b.mul(s[1], rho), dense(b, variable, g, squared));
    return {scatter_add(b, variable, g, b.mul(delta, p[0])), {grads, deltas}};
  }

 private:
  // ApplyAdadelta; rows that no index names stay as they are.
  Update legacy(Builder& b, const Values& p, Value variable, const Gradient& gradient, Value g, Value grads,
                const Values& s) const {
    Value root = exact_sqrt(b, b.add(s[1], epsilon));
    Value update = b.mul(b.mul(root, math::rsqrt(b, b.add(grads, epsilon))), g);
    Value deltas = b.add(b.mul(s[1], rho), b.mul(b.square(update), 1.0 - rho));
    auto hit = [&](Value now, Value old) { return only_hit_rows(b, gradient, now, old); };
    return {hit(b.sub(variable, b.mul(update, p[0])), variable), {hit(grads, s[0]), hit(deltas, s[1])}};
  }

  const Era era;
  double rho = 0, epsilon = 0;
};

class Ftrl final : public OptimizerRule {
 public:
  explicit Ftrl(const json& config)
      : legacy(era_of(config) == Era::Legacy),
        power(-hyper(config, "learning_rate_power", -0.5)),
        initial(legacy ? number(config, "initial_accumulator_value", 0.1)
                       : through_float32(number(config, "initial_accumulator_value", 0.1))),
        l1(hyper(config, "l1_regularization_strength", 0.0)),
        l2(hyper(config, "l2_regularization_strength", 0.0)),
        shrinkage(hyper(config, "l2_shrinkage_regularization_strength", 0.0)),
        beta(hyper(config, "beta", 0.0)) {
    merged_gradients = era_of(config) != Era::Keras3;
  }
  std::vector<SlotSpec> slots() const override { return {{"accumulator", initial}, {"linear"}}; }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& gradient, const Values& s) const override {
    Value lr = p[0], g = dense(b, variable, gradient);
    Value squares = merged_gradients ? b.square(g) : dense(b, variable, gradient, b.square(gradient.values));
    Value used = shrinkage == 0 ? g : b.add(g, b.mul(variable, 2.0 * shrinkage));
    Value sum = b.add(s[0], squares);
    Value after = root(b, sum), before = root(b, s[0]);
    Value linear = b.add(s[1], b.sub(used, b.mul(b.div(b.sub(after, before), lr), variable)));
    Value l2_term = b.add(b.div(b.constant(beta, b.dtype(lr)), b.mul(lr, 2.0)), l2);
    Value quadratic = b.add(b.div(after, lr), b.mul(l2_term, 2.0));
    Value clipped = b.clamp(linear, -l1, l1);
    Value moved = b.div(b.sub(clipped, linear), quadratic);
    if (!legacy) return {moved, {sum, linear}};
    // SparseApplyFtrl: rows that no index names stay as they are.
    return {only_hit_rows(b, gradient, moved, variable),
            {only_hit_rows(b, gradient, sum, s[0]), only_hit_rows(b, gradient, linear, s[1])}};
  }

 private:
  // Hyperparameters of legacy optimizers are float32 variables.
  double hyper(const json& config, const char* key, double otherwise) const {
    const double v = number(config, key, otherwise);
    return legacy ? through_float32(v) : v;
  }
  Value root(Builder& b, Value v) const {
    if (power == 0.5) return exact_sqrt(b, v);
    return b.call("aten::pow.Tensor_Scalar", {{"self", v}, {"exponent", power}});
  }
  const bool legacy;
  const double power, initial, l1, l2, shrinkage, beta;
};

template <class Rule>
OptimizerFn make() {
  return [](const json& config) { return std::make_unique<Rule>(config); };
}

}  // namespace

void register_optimizers_adaptive(Registry& r) {
  r.optimizers.add("Adadelta", make<Adadelta>());
  r.optimizers.add("Adagrad", make<Adagrad>());
  r.optimizers.add("Ftrl", make<Ftrl>());
  r.optimizers.add("RMSprop", make<RmsProp>());
}

}  // namespace midstream::keras
