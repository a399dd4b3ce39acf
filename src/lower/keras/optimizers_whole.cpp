// Rules that need a whole variable: Lamb and Adafactor take norms, Adafactor and Muon look at the axes. A variable
// comes in the file's layout here.
#include <algorithm>
#include <cmath>
#include <regex>

#include "lower/keras/optimizer_rule.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

Value minimum(Builder& b, Value x, Value y) { return b.call("aten::minimum", {{"self", x}, {"other", y}}); }
Value towards(Builder& b, Value m, Value g, double rate) { return b.add(m, b.mul(b.sub(g, m), rate)); }
Value norm(Builder& b, Value v) { return exact_sqrt(b, b.sum(b.square(v), {})); }

class Lamb final : public OptimizerRule {
 public:
  explicit Lamb(const json& config)
      : beta_1(number(config, "beta_1", 0.9)),
        beta_2(number(config, "beta_2", 0.999)),
        epsilon(number(config, "epsilon", 1e-7)) {}
  std::vector<SlotSpec> slots() const override { return {{"momentum"}, {"velocity"}}; }
  bool elementwise() const override { return false; }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values&, DType dtype) const override {
    Value t = step_after(b, step, 1, dtype);
    return {{b.cast(learning_rate, dtype), b.rsub(1.0, power(b, through_float32(beta_1), t)),
             b.rsub(1.0, power(b, through_float32(beta_2), t))},
            {}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    Value m = towards(b, s[0], dense(b, variable, g), 1.0 - beta_1);
    Value v = towards(b, s[1], dense(b, variable, g, b.square(g.values)), 1.0 - beta_2);
    Value update = b.div(b.div(m, p[1]), b.add(exact_sqrt(b, b.div(v, p[2])), epsilon));
    Value of_variable = norm(b, variable), of_update = norm(b, update);
    Value both = b.logical_and(b.compare("gt", of_variable, 0.0), b.compare("gt", of_update, 0.0));
    Value ratio = b.where(both, b.div(of_variable, of_update), b.constant(1.0, b.dtype(variable)));
    return {b.sub(variable, b.mul(update, b.mul(ratio, p[0]))), {m, v}};
  }

 private:
  const double beta_1, beta_2, epsilon;
};

// Running means of the squares over the last axis ("r") and the one before it ("c") in the place of a full one.
class Adafactor final : public OptimizerRule {
 public:
  explicit Adafactor(const json& config)
      : era(era_of(config)),
        relative(flag(config, "relative_step", true) &&
                 !(has(config, "learning_rate") && config.at("learning_rate").is_object())),
        decay(number(config, "beta_2_decay", -0.8)),
        epsilon_1(number(config, "epsilon_1", 1e-30)),
        epsilon_2(through_float32(number(config, "epsilon_2", 1e-3))),
        threshold(number(config, "clip_threshold", 1.0)) {
    merged_gradients = era != Era::Keras3;
  }
  std::vector<SlotSpec> slots() const override { return {}; }
  std::vector<SlotSpec> slots_of(const TrainedVariable& v) const override {
    const size_t rank = v.dims.size();
    if (rank >= 2) {
      Dims r(v.dims.begin(), v.dims.end() - 1), c = r;
      c.back() = v.dims.back();
      return {{.name = "r", .dims = r}, {.name = "c", .dims = c}, {.name = "velocity"}};
    }
    if (era != Era::Keras3) return {{"velocity"}};
    // Placeholders, which stay 0.
    return {{.name = "r", .dims = Dims{}, .dtype = DType::Int32},
            {.name = "c", .dims = Dims{}, .dtype = DType::Int32},
            {.name = "velocity"}};
  }
  bool elementwise() const override { return false; }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values&, DType dtype) const override {
    Value t = step_after(b, step, 1, dtype), given = b.cast(learning_rate, dtype);
    Value bound = math::rsqrt(b, t);
    if (era == Era::Keras3) bound = b.call("aten::reciprocal", {{"self", exact_sqrt(b, t)}});
    Value rate = relative ? minimum(b, given, bound) : given;
    Value fallen = b.call("midstream::scalar_pow", {{"self", t}, {"exponent", b.constant(decay, dtype)}});
    Value beta_2 = b.rsub(1.0, fallen);
    return {{given, minimum(b, rate, bound), beta_2, b.rsub(1.0, beta_2)}, {}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& gradient, const Values& s) const override {
    Gradient g = merged_gradients ? Gradient{dense(b, variable, gradient), {}} : gradient;
    Value alpha = b.mul(b.clamp(root_of_mean(b, variable, b.square(variable)), epsilon_2, std::nullopt), p[1]);
    Value squares = b.add(dense(b, variable, g, b.square(g.values)), epsilon_1);
    auto average = [&](Value old, Value now) { return b.add(b.mul(old, p[2]), b.mul(now, p[3])); };
    Update out{{}, s};
    Value& v = out.slots.back();
    if (b.rank(variable) >= 2) {
      Value r = average(s[0], b.mean(squares, {-1})), c = average(s[1], b.mean(squares, {-2}));
      out.slots[0] = r, out.slots[1] = c;
      v = b.mul(b.unsqueeze(b.div(r, b.mean(r, {-1}, true)), -1), b.unsqueeze(c, -2));
    } else {
      v = average(v, squares);
    }
    Value u = era == Era::Keras3 ? b.div(g.values, at_occurrences(b, exact_sqrt(b, v), g))
                                 : b.mul(g.values, math::rsqrt(b, v));
    Value size = b.div(root_of_mean(b, variable, b.square(u)), threshold);
    u = b.mul(b.div(u, b.clamp(size, 1.0, std::nullopt)), alpha);
    out.variable = scatter_add(b, variable, g, b.neg(u));
    return out;
  }

 private:
  // The mean over all elements of the variable; of a gradient of rows, those that no index names count as 0.
  static Value root_of_mean(Builder& b, Value variable, Value squares) {
    const double elements = static_cast<double>(num_elements(b.dims(variable)));
    return exact_sqrt(b, b.div(b.sum(squares, {}), elements));
  }

  const Era era;
  const bool relative;
  const double decay, epsilon_1, epsilon_2, threshold;
};

// Matrices move along their momentum made orthogonal; what is no matrix, and what the config excludes, by Adam's rule.
// Which of the two is a variable's shows in its slots.
class Muon final : public OptimizerRule {
 public:
  explicit Muon(const json& config)
      : beta_1(number(config, "adam_beta_1", 0.9)),
        beta_2(number(config, "adam_beta_2", 0.999)),
        epsilon(number(config, "epsilon", 1e-7)),
        adam_ratio(number(config, "adam_lr_ratio", 1.0)),
        a(number(config, "muon_a", 3.4445)),
        b_(number(config, "muon_b", -4.7750)),
        c(number(config, "muon_c", 2.0315)),
        momentum(number(config, "momentum", 0.95)),
        steps(integer(config, "ns_steps", 5)),
        nesterov(flag(config, "nesterov", true)),
        without_embeddings(flag(config, "exclude_embeddings", true)) {
    // null is a value: none.
    auto unless_null = [&](const char* key, double otherwise) {
      return config.contains(key) ? number(config, key, 0.0) : otherwise;
    };
    adam_decay = unless_null("adam_weight_decay", 0.004);
    decay = unless_null("weight_decay", 0.004);
    rms_rate = unless_null("rms_rate", 0.2);
    if (has(config, "exclude_layers"))
      for (const json& pattern : config.at("exclude_layers")) excluded.push_back(expression(pattern));
  }
  std::vector<SlotSpec> slots() const override { return {{"momentum"}}; }
  std::vector<SlotSpec> slots_of(const TrainedVariable& v) const override {
    if (by_adam(v)) return {{"momentum"}, {"velocity"}};
    return {{"momentum"}};
  }
  bool elementwise() const override { return false; }
  double weight_decay(double, size_t slots) const override { return slots == 2 ? adam_decay : decay; }

  Prepared prepare(Builder& b, Value learning_rate, Value step, const Values&, DType dtype) const override {
    Value t = step_after(b, step, 1, dtype), lr = b.cast(b.mul(learning_rate, adam_ratio), dtype);
    Value left_2 = exact_sqrt(b, b.rsub(1.0, power(b, through_float32(beta_2), t)));
    Value left_1 = b.rsub(1.0, power(b, through_float32(beta_1), t));
    return {{b.cast(learning_rate, dtype), b.div(b.mul(lr, left_2), left_1)}, {}};
  }

  Update apply(Builder& b, const Values& p, Value variable, const Gradient& g, const Values& s) const override {
    Value sum = dense(b, variable, g);
    if (s.size() == 2) {
      Value m = towards(b, s[0], sum, 1.0 - beta_1);
      Value v = towards(b, s[1], dense(b, variable, g, b.square(g.values)), 1.0 - beta_2);
      return {b.sub(variable, b.div(b.mul(m, p[1]), b.add(exact_sqrt(b, v), epsilon))), {m, v}};
    }
    Value m = b.add(s[0], b.add(sum, b.mul(s[0], momentum - 1)));
    Value direction = orthogonal(b, nesterov ? b.add(sum, b.mul(m, momentum)) : m);
    Value step = b.mul(direction, p[0]);
    const Dims& dims = b.dims(variable);
    if (rms_rate != 0) step = b.mul(b.mul(step, std::sqrt(static_cast<double>(std::max(dims[0], dims[1])))), rms_rate);
    return {b.sub(variable, step), {m}};
  }

 private:
  static std::regex expression(const json& pattern) {
    try {
      return std::regex(pattern.get<std::string>());
    } catch (const std::regex_error&) {
      throw Error(ErrorKind::Unsupported, "optimizer",
                  "keras.Muon has " + pattern.dump() + " among exclude_layers, which is no regular expression here.",
                  "Name the layers without Python's own extensions of regular expressions.");
    }
  }

  bool by_adam(const TrainedVariable& v) const {
    if (v.dims.size() != 2) return true;
    std::string lower = v.path;
    for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    if (without_embeddings && lower.find("embedding") != std::string::npos) return true;
    for (const std::regex& pattern : excluded)
      if (std::regex_search(v.path, pattern)) return true;
    return false;
  }

  // Newton and Schulz' iteration, on the matrix that is at least as wide as high.
  Value orthogonal(Builder& b, Value x) const {
    const bool high = b.dims(x)[0] > b.dims(x)[1];
    auto turned = [&](Value v) { return b.permute(v, {1, 0}); };
    if (high) x = turned(x);
    x = b.div(x, b.add(norm(b, x), 1e-7));
    for (int64_t i = 0; i < steps; ++i) {
      Value square = b.matmul(x, turned(x));
      Value factor = b.add(b.mul(square, b_), b.matmul(b.mul(square, c), square));
      x = b.add(b.mul(x, a), b.matmul(factor, x));
    }
    return high ? turned(x) : x;
  }

  const double beta_1, beta_2, epsilon, adam_ratio, a, b_, c, momentum;
  const int64_t steps;
  const bool nesterov, without_embeddings;
  double adam_decay = 0, decay = 0, rms_rate = 0;
  std::vector<std::regex> excluded;
};

template <class Rule>
OptimizerFn make() {
  return [](const json& config) { return std::make_unique<Rule>(config); };
}

}  // namespace

void register_optimizers_whole(Registry& r) {
  r.optimizers.add("Adafactor", make<Adafactor>());
  r.optimizers.add("Lamb", make<Lamb>());
  r.optimizers.add("Muon", make<Muon>());
}

}  // namespace midstream::keras
