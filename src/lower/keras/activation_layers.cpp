// Activations as layers.
#include "lower/keras/host.h"
#include "lower/math/activations.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Tensors activation(Layer& l, const Call& call) {
  l.expect_config({"activation"});
  return l.keep_mask(call, l.activation(call.one().value));
}

Tensors relu(Layer& l, const Call& call) {
  l.expect_config({"max_value", "negative_slope", "threshold"});
  math::ReluOptions options{.negative_slope = l.number("negative_slope"),
                            .threshold = l.number("threshold"),
                            .float32_limits = l.host().keras3};
  if (l.has("max_value")) options.max_value = l.number("max_value");
  return l.keep_mask(call, math::relu(l.b, call.one().value, options));
}

Tensors leaky_relu(Layer& l, const Call& call) {
  l.expect_config({"negative_slope"});
  return l.keep_mask(call, math::leaky_relu(l.b, call.one().value, l.number("negative_slope", 0.3)));
}

// Keras 2's: x where it is above theta.
Tensors thresholded_relu(Layer& l, const Call& call) {
  l.expect_config({"theta"});
  Value x = call.one().value;
  return l.keep_mask(call, math::where_number(l.b, l.b.compare("gt", x, l.number("theta", 1)), x, 0));
}

Tensors elu(Layer& l, const Call& call) {
  l.expect_config({"alpha"});
  return l.keep_mask(call, math::elu(l.b, call.one().value, l.number("alpha", 1)));
}

// alpha has the shape of one sample, with 1 along the shared axes.
Tensors prelu(Layer& l, const Call& call) {
  l.expect_config({"shared_axes"});
  Value x = call.one().value;
  Dims dims(l.b.dims(x).begin() + 1, l.b.dims(x).end());
  for (int64_t axis : l.ints("shared_axes")) {
    if (axis < 1 || axis > static_cast<int64_t>(dims.size()))
      l.b.fail(ErrorKind::Mismatch,
               "shared axis " + std::to_string(axis) + " of an input of shape " + to_string(l.b.dims(x)) + ".");
    dims[static_cast<size_t>(axis - 1)] = 1;
  }
  return l.keep_mask(call, math::prelu(l.b, x, l.weight("alpha", dims)));
}

// Keras 3 reads the implicit mask as positions that take no part.
Tensors softmax(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Value x = call.one().value, mask = call.arg(1, "mask").value;
  if (!mask) mask = call.one().mask;
  const double lowest = b.dtype(x) == DType::Float16 ? -3e4 : -1e9;
  if (mask && b.dtype(mask) != DType::Bool) mask = b.compare("gt", mask, 0.5);
  if (mask && l.host().keras3) x = math::where_number(b, mask, x, lowest);
  if (mask && !l.host().keras3) x = b.add(x, b.mul(b.rsub(1.0, b.cast(mask, b.dtype(x))), lowest));
  std::vector<int64_t> axes = l.has("axis") ? l.ints("axis") : std::vector<int64_t>{-1};
  Value y;
  if (axes.size() == 1) {
    y = math::softmax(b, x, axes[0]);
  } else {
    Value all = b.call("aten::logsumexp", {{"self", x}, {"dim", math::axes_of(b, x, axes)}, {"keepdim", true}});
    y = b.exp(b.sub(x, all));
  }
  if (mask && l.host().keras3) y = math::where_number(b, mask, y, 0);
  return l.keep_mask(call, y);
}

}  // namespace

void register_activation_layers(Registry& r) {
  r.layer("Activation", activation);
  r.layer("ELU", elu);
  r.layer("LeakyReLU", leaky_relu);
  r.layer("PReLU", prelu);
  r.layer("ReLU", relu);
  r.layer("Softmax", softmax);
  r.layer("ThresholdedReLU", thresholded_relu);
}

}  // namespace midstream::keras
