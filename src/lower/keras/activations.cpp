// Keras' activation functions by name. An activation given as an object ({"class_name", "config"}) passes its config.
#include "lower/math/activations.h"

#include "lower/keras/config.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Plain = Value (*)(Builder&, Value);

ActivationFn plain(Plain f) {
  return [f](Builder& b, const json&, Value x) { return f(b, x); };
}

std::optional<double> optional_number(const json& c, const char* key) {
  return c.is_object() && has(c, key) ? std::optional(number(c, key, 0)) : std::nullopt;
}

Value relu(Builder& b, const json& c, Value x) {
  return math::relu(b, x,
                    {.negative_slope = number(c, "negative_slope", number(c, "alpha", 0)),
                     .max_value = optional_number(c, "max_value"),
                     .threshold = number(c, "threshold", 0)});
}

Value with_axis(const json& c, Value (*f)(Builder&, Value, int64_t), Builder& b, Value x) {
  return f(b, x, integer(c, "axis", -1));
}

}  // namespace

void register_activations(Registry& r) {
  auto add = [&](const char* name, ActivationFn fn) { r.activations.add(name, std::move(fn)); };
  add("celu", [](Builder& b, const json& c, Value x) { return math::celu(b, x, number(c, "alpha", 1)); });
  add("elu", [](Builder& b, const json& c, Value x) { return math::elu(b, x, number(c, "alpha", 1)); });
  add("exponential", plain([](Builder& b, Value x) { return b.exp(x); }));
  add("gelu", [](Builder& b, const json& c, Value x) { return math::gelu(b, x, flag(c, "approximate", false)); });
  add("glu", [](Builder& b, const json& c, Value x) { return with_axis(c, math::glu, b, x); });
  add("hard_shrink",
      [](Builder& b, const json& c, Value x) { return math::hard_shrink(b, x, number(c, "threshold", 0.5)); });
  add("hard_sigmoid", plain(math::hard_sigmoid));
  add("hard_sigmoid_keras2", plain(math::hard_sigmoid_keras2));
  add("hard_silu", plain(math::hard_silu));
  add("hard_tanh", plain(math::hard_tanh));
  add("leaky_relu", [](Builder& b, const json& c, Value x) {
    return math::leaky_relu(b, x, number(c, "negative_slope", number(c, "alpha", 0.2)));
  });
  add("linear", plain([](Builder&, Value x) { return x; }));
  add("log_sigmoid", plain(math::log_sigmoid));
  add("log_softmax", [](Builder& b, const json& c, Value x) { return with_axis(c, math::log_softmax, b, x); });
  add("mish", plain(math::mish));
  add("relu", relu);
  add("relu6", plain(math::relu6));
  add("selu", plain(math::selu));
  add("sigmoid", plain(math::sigmoid));
  add("silu", plain(math::silu));
  add("soft_shrink",
      [](Builder& b, const json& c, Value x) { return math::soft_shrink(b, x, number(c, "threshold", 0.5)); });
  add("softmax", [](Builder& b, const json& c, Value x) { return with_axis(c, math::softmax, b, x); });
  add("softplus", plain(math::softplus));
  add("softsign", plain(math::softsign));
  add("sparse_plus", plain(math::sparse_plus));
  add("sparse_sigmoid", plain(math::sparse_sigmoid));
  add("sparsemax", [](Builder& b, const json& c, Value x) { return with_axis(c, math::sparsemax, b, x); });
  add("squareplus", [](Builder& b, const json& c, Value x) { return math::squareplus(b, x, number(c, "b", 4)); });
  add("tanh", plain(math::tanh));
  add("tanh_shrink", plain(math::tanh_shrink));
  add("threshold", [](Builder& b, const json& c, Value x) {
    return math::threshold(b, x, number(c, "threshold", number(c, "threshold_value", 0)),
                           number(c, "default_value", 0));
  });
}

}  // namespace midstream::keras
