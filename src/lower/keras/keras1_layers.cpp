// Layers of Keras 1 that no later one has: Highway, MaxoutDense.
#include "lower/keras/layer.h"
#include "lower/math/activations.h"
#include "lower/math/linear.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

int64_t features(const Layer& l, Value x) {
  const Dims& dims = l.b.dims(x);
  if (dims.size() != 2 || dims[1] == kUnknown)
    l.b.fail(ErrorKind::Mismatch, "its input is " + to_string(dims) + ", wanted [batch, features].");
  return dims[1];
}

// g activation(W x + b) + (1 - g) x with g = sigmoid(W_carry x + b_carry). Regularizers are W's and b's.
Tensors highway(Layer& l, const Call& call) {
  l.expect_config({"activation", "use_bias", "transform_bias"});
  Builder& b = l.b;
  Value x = call.one().value;
  const int64_t n = features(l, x);
  const bool has_bias = l.flag("use_bias", true);
  Value w = l.weight("kernel", {n, n}), w_carry = l.weight("carry_kernel", {n, n}), bias, bias_carry;
  if (has_bias) {
    bias = l.weight("bias", {n});
    bias_carry = l.weight("carry_bias", {n});
  }
  Value gate = math::sigmoid(b, math::linear(b, x, w_carry, bias_carry));
  Value y = l.activation(math::linear(b, x, w, bias));
  return l.keep_mask(call, b.add(b.mul(y, gate), b.mul(b.rsub(1.0, gate), x)));
}

// The largest of `nb_feature` linear layers.
Tensors maxout_dense(Layer& l, const Call& call) {
  l.expect_config({"units", "nb_feature", "use_bias"});
  Builder& b = l.b;
  Value x = call.one().value;
  const int64_t n = features(l, x), k = l.integer("nb_feature", 4), units = l.integer("units");
  Value y = b.matmul(x, l.weight("kernel", {k, n, units}));  // [k, batch, units]
  if (l.flag("use_bias", true)) y = b.add(y, b.unsqueeze(l.weight("bias", {k, units}), 1));
  return {{b.amax(y, {0}), {}}};
}

}  // namespace

void register_keras1_layers(Registry& r) {
  r.layer("Highway", highway);
  r.layer("MaxoutDense", maxout_dense);
}

}  // namespace midstream::keras
