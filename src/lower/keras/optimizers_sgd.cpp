// SGD and Lion: rules that are linear in the gradient, up to a sign.
#include "lower/keras/optimizer_rule.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

class Sgd final : public OptimizerRule {
 public:
  explicit Sgd(const json& config) : era(era_of(config)), nesterov(flag(config, "nesterov", false)) {
    momentum = through_float32(number(config, "momentum", 0.0));
    // Keras 2 keeps a momentum, of zero, even without one; legacy and Keras 3 do not.
    has_slot = momentum != 0 || era == Era::Keras2;
    // Without momentum Keras 3 and legacy subtract occurrence by occurrence.
    merged_gradients = era == Era::Keras2 || (era == Era::Legacy && has_slot);
  }

  std::vector<SlotSpec> slots() const override {
    if (!has_slot) return {};
    return {{"momentum"}};
  }
  double default_learning_rate() const override { return 0.01; }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    Value lr = p[0];
    if (!has_slot) {
      Value step = b.mul(g.values, lr);
      return {scatter_add(b, variable, g, b.neg(step)), {}};
    }
    if (merged_gradients) return merged(b, lr, variable, g, s[0]);
    Value step = dense(b, variable, g, b.mul(g.values, lr));
    Value m = b.sub(b.mul(s[0], momentum), step);
    if (!nesterov) return {b.add(variable, m), {m}};
    return {b.add(variable, b.sub(b.mul(m, momentum), step)), {m}};
  }

 private:
  Update merged(Builder& b, Value lr, Value variable, const Gradient& g, Value old) const {
    Value step = b.mul(dense(b, variable, g), lr);
    Value m = b.sub(b.mul(old, momentum), step);
    Value updated;
    if (!nesterov) {
      updated = b.add(variable, m);
    } else if (era == Era::Keras2 && g.is_slices()) {
      updated = b.add(b.sub(variable, step), b.mul(m, momentum));
    } else {
      updated = b.add(variable, b.sub(b.mul(m, momentum), step));
    }
    // The legacy kernel for sparse gradients leaves rows alone that no index names.
    if (era == Era::Legacy) return {only_hit_rows(b, g, updated, variable), {only_hit_rows(b, g, m, old)}};
    return {updated, {m}};
  }

  const Era era;
  double momentum = 0;
  const bool nesterov;
  bool has_slot = false;
};

class Lion final : public OptimizerRule {
 public:
  explicit Lion(const json& config) : era(era_of(config)) {
    beta_1 = through_float32(number(config, "beta_1", 0.9));
    beta_2 = through_float32(number(config, "beta_2", 0.99));
    merged_gradients = era != Era::Keras3;
  }
  std::vector<SlotSpec> slots() const override { return {{"momentum"}}; }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    auto share = [&](double weight) {
      return merged_gradients ? b.mul(dense(b, variable, g), weight) : dense(b, variable, g, b.mul(g.values, weight));
    };
    if (era == Era::Keras2 && g.is_slices()) {
      Value direction = b.add(b.mul(s[0], beta_1), share(1.0 - beta_1));
      Value updated = b.sub(variable, b.mul(b.unary("aten::sign", direction), p[0]));
      Value m = b.div(b.mul(direction, beta_2), beta_1);
      return {updated, {b.add(m, share(1.0 - beta_2 / beta_1))}};
    }
    Value direction = b.unary("aten::sign", b.add(b.mul(s[0], beta_1), share(1.0 - beta_1)));
    Value m = b.add(b.mul(s[0], beta_2), share(1.0 - beta_2));
    return {b.sub(variable, b.mul(direction, p[0])), {m}};
  }

 private:
  const Era era;
  double beta_1 = 0, beta_2 = 0;
};

}  // namespace

void register_optimizers_sgd(Registry& r) {
  r.optimizers.add("Lion", [](const json& config) { return std::make_unique<Lion>(config); });
  r.optimizers.add("SGD", [](const json& config) { return std::make_unique<Sgd>(config); });
}

}  // namespace midstream::keras
