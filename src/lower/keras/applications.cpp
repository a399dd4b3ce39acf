// The layers that keras.applications defines for its own models: ConvNeXt's LayerScale and StochasticDepth,
// InceptionResNetV2's CustomScaleLayer. A file names them by their class and a module inside of Keras.
#include "lower/keras/host.h"
#include "lower/math/random.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Tensors layer_scale(Layer& l, const Call& call) {
  l.expect_config({"init_values", "projection_dim"});
  // Keras 3 gives it no name.
  Value gamma = l.weight(l.host().keras3 ? "variable" : "gamma", {l.integer("projection_dim")});
  return l.keep_mask(call, l.b.mul(call.one().value, gamma));
}

// Drops whole examples. Keras draws from its global generator, which is in no file: a fresh stream.
Tensors stochastic_depth(Layer& l, const Call& call) {
  l.expect_config({"drop_path_rate"});
  Builder& b = l.b;
  Value x = call.one().value;
  const double keep = 1 - l.number("drop_path_rate");
  Ints shape(static_cast<size_t>(b.rank(x)), Int(1));
  shape[0] = b.size(x, 0);
  auto drop = [&] {
    Value kept = b.unary("aten::floor", b.add(math::random_uniform(b, shape, {}, b.dtype(x)), keep));
    return Values{b.mul(b.div(x, b.constant(keep, b.dtype(x))), kept)};
  };
  return l.keep_mask(call, b.cond(l.training(), drop, [&] { return Values{x}; })[0]);
}

Tensors custom_scale_layer(Layer& l, const Call& call) {
  l.expect_config({"scale"});
  Builder& b = l.b;
  if (call.inputs.size() != 2)
    b.fail(ErrorKind::Mismatch, "it is called on " + std::to_string(call.inputs.size()) + " tensors, two are wanted.");
  Value residual = call.inputs[1].value;
  return l.keep_mask(call,
                     b.add(call.inputs[0].value, b.mul(residual, b.constant(l.number("scale"), b.dtype(residual)))));
}

}  // namespace

void register_applications(Registry& r) {
  r.layer("CustomScaleLayer", custom_scale_layer);
  r.layer("LayerScale", layer_scale);
  r.layer("StochasticDepth", stochastic_depth);
}

}  // namespace midstream::keras
