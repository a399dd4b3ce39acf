// SpectralNormalization: every call in training first divides the kernel of the layer inside by an estimate of its
// largest singular value, for good, and improves that estimate by power iterations.
#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Value detached(Builder& b, Value v) { return b.unary("aten::detach", v); }

Value normalized(const Layer& l, Value v, bool keras3) {
  return keras3 ? math::l2_normalize_bounded(l.b, v, {0, 1}, 1e7) : math::l2_normalize(l.b, v, {0, 1}, 1e-12);
}

// What the layer inside reads for its kernel.
Value spectral_kernel(Layer& l, Value kernel) {
  Builder& b = l.b;
  const bool keras3 = l.host().keras3;
  const int64_t columns = b.dims(kernel).back(), iterations = l.integer("power_iterations", 1);
  Value vector = l.weight("vector_u", {1, columns}, false, /*autocast=*/false);
  Value kernel_now = l.host().current(kernel), vector_now = l.host().current(vector);
  auto in_training = [&]() -> Values {
    Value old = detached(b, kernel_now), u = vector_now, v;
    Value matrix = b.reshape(old, {-1, columns});
    for (int64_t i = 0; i < iterations; ++i) {
      v = normalized(l, b.matmul(u, b.permute(matrix, {1, 0})), keras3);
      u = normalized(l, b.matmul(v, matrix), keras3);
    }
    Value sigma = b.matmul(b.matmul(v, matrix), b.permute(u, {1, 0}));
    Value next = b.div(old, sigma);
    Value zero = b.logical_not(b.call("aten::any", {{"self", b.compare("ne", old, 0.0)}}));
    next = b.where(zero, old, next);
    u = b.where(zero, vector_now, u);
    b.assign(kernel, next);
    b.assign(vector, u);
    // The gradient is the new kernel's, and goes to the variable as it is.
    return {b.add(next, b.sub(kernel_now, old)), u};
  };
  const Values now = b.cond(l.training(), in_training, [&] { return Values{kernel_now, vector_now}; });
  l.host().set_current(kernel, now[0]);
  l.host().set_current(vector, now[1]);
  return now[0];
}

Tensors spectral_normalization(Layer& l, const Call& call) {
  l.expect_config({"layer", "power_iterations"});
  const json& inner = l.config.at("layer");
  const std::string name = inner.value("config", json::object()).value("name", std::string("layer"));
  bool found = false;
  LayerHost::Replacement replacement(l.host(), l.path + "/" + name, [&](const WeightRecord& weight, Value value) {
    if (weight.name != "kernel" && weight.name != "embeddings") return value;
    if (!found) l.share("kernel", weight.variable);
    found = true;
    return spectral_kernel(l, value);
  });
  Tensors out = l.lower_child("layer", inner, call);
  if (!found) l.b.fail(ErrorKind::Unsupported, "its inner layer has no weight 'kernel' or 'embeddings' of its own.");
  if (l.host().keras3)  // words that are integers make integers of an embedding
    for (Tensor& t : out) t.value = l.b.cast(t.value, l.b.dtype(call.one().value));
  return out;
}

}  // namespace

void register_spectral_normalization(Registry& r) { r.layer("SpectralNormalization", spectral_normalization); }

}  // namespace midstream::keras
