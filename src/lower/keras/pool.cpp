// Pooling layers. Formulas are in lower/math/pool.h.
#include "lower/math/pool.h"

#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Pool = Value (*)(Builder&, Value, const math::PoolSpec&);

LayerFn pool(Pool fn, size_t spatial) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"pool_size", "strides", "padding", "data_format"});
    Value x = call.one().value;
    expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
    const math::Layout layout = layout_of(l);
    const std::vector<int64_t> window = l.ints("pool_size", spatial);
    const math::PoolSpec spec{
        .window = window, .strides = l.has("strides") ? l.ints("strides", spatial) : window, .padding = padding_of(l)};
    Value y_ncs = fn(l.b, math::to_channels_first(l.b, x, layout), spec);
    return {{math::from_channels_first(l.b, y_ncs, layout), {}}};
  };
}

std::vector<int64_t> spatial_axes(const Layer& l, size_t spatial) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < spatial; ++i) axes.push_back(first_spatial(layout_of(l)) + static_cast<int64_t>(i));
  return axes;
}

// The gradient of a maximum that several pixels share is shared, too (tf.reduce_max, aten::amax).
LayerFn global_max(size_t spatial) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"data_format", "keepdims"});
    Value x = call.one().value;
    expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
    return {{l.b.amax(x, spatial_axes(l, spatial), l.flag("keepdims")), {}}};
  };
}

// Steps that the mask leaves out do not count. Where it leaves nothing both Keras give NaN; the gradients of what is
// left out are zero in Keras 3, which selects, and NaN there in Keras 2, which multiplies.
Value masked_mean(Layer& l, Value x, Value mask, int64_t steps_axis, bool keepdims) {
  Builder& b = l.b;
  Value there = b.unsqueeze(b.cast(mask, DType::Bool), steps_axis == 1 ? 2 : 1);
  Value ones = b.cast(there, b.dtype(x));
  Value kept = l.host().keras3 ? math::where_number(b, there, x, 0) : b.mul(x, ones);
  return b.div(b.sum(kept, {steps_axis}, keepdims), b.sum(ones, {steps_axis}, keepdims));
}

LayerFn global_average(size_t spatial) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"data_format", "keepdims"});
    const Tensor& in = call.one();
    expect_rank(l, in.value, static_cast<int64_t>(spatial) + 2);
    const std::vector<int64_t> axes = spatial_axes(l, spatial);
    const bool keepdims = l.flag("keepdims");
    Value mask = call.arg(1, "mask").value;
    if (!mask) mask = in.mask;
    if (spatial == 1 && mask) return {{masked_mean(l, in.value, mask, axes[0], keepdims), {}}};
    return {{l.b.mean(in.value, axes, keepdims), {}}};
  };
}

// A window for each of a fixed number of outputs, of sizes that differ by one at most.
LayerFn adaptive(size_t spatial, bool maxima) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"output_size", "data_format"});
    Builder& b = l.b;
    expect_rank(l, call.one().value, static_cast<int64_t>(spatial) + 2);
    const math::Layout layout = layout_of(l);
    Value x_ncs = math::to_channels_first(b, call.one().value, layout);
    const std::vector<int64_t> wanted = l.ints("output_size", spatial);
    std::vector<int64_t> sizes(b.dims(x_ncs).begin() + 2, b.dims(x_ncs).end());
    for (int64_t n : sizes)
      if (n == kUnknown)
        b.fail(ErrorKind::Mismatch, "its input has shape " + to_string(b.dims(call.one().value)) +
                                        ": fixed spatial sizes are wanted, here as in Keras.");
    const std::string d = std::to_string(spatial) + "d";
    if (!maxima) {
      x_ncs = b.call("aten::adaptive_avg_pool" + d, {{"self", x_ncs}, {"output_size", wanted}});
      return {{math::from_channels_first(b, x_ncs, layout), {}}};
    }
    // Axis by axis, as Keras: it decides which of several equal maxima has the gradient.
    for (size_t i = 0; i < spatial; ++i) {
      if (sizes[i] == wanted[i]) continue;
      sizes[i] = wanted[i];
      x_ncs = b.call_all("aten::adaptive_max_pool" + d, {{"self", x_ncs}, {"output_size", sizes}})[0];
    }
    return {{math::from_channels_first(b, x_ncs, layout), {}}};
  };
}

}  // namespace

void register_pool(Registry& r) {
  for (size_t n = 1; n <= 3; ++n) {
    const std::string d = std::to_string(n) + "D";
    r.layer("AdaptiveAveragePooling" + d, adaptive(n, false));
    r.layer("AdaptiveMaxPooling" + d, adaptive(n, true));
    r.layer("AveragePooling" + d, pool(math::average_pool, n));
    r.layer("GlobalAveragePooling" + d, global_average(n));
    r.layer("GlobalMaxPooling" + d, global_max(n));
    r.layer("MaxPooling" + d, pool(math::max_pool, n));
  }
}

}  // namespace midstream::keras
