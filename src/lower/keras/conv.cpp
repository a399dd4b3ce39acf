// Convolution layers. Formulas are in lower/math/conv.h.
#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

math::ConvSpec spec_of(const Layer& l, size_t spatial) {
  math::ConvSpec spec{
      .strides = l.ints("strides", spatial),
      .dilations = l.has("dilation_rate") ? l.ints("dilation_rate", spatial) : std::vector<int64_t>(spatial, 1),
      .padding = padding_of(l)};
  if (spec.padding == math::Padding::Causal && spatial != 1)
    l.b.fail(ErrorKind::Mismatch,
             "padding 'causal' is for one spatial axis, this layer has " + std::to_string(spatial) + ".");
  return spec;
}

Dims with_channels(std::vector<int64_t> spatial, int64_t a, int64_t b) {
  spatial.insert(spatial.end(), {a, b});
  return spatial;
}

Value bias_of(Layer& l, int64_t channels) { return l.flag("use_bias", true) ? l.weight("bias", {channels}) : Value{}; }

Tensors finish(Layer& l, Value y_ncs, math::Layout layout) {
  return {{l.activation(math::from_channels_first(l.b, y_ncs, layout)), {}}};
}

Tensors conv(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups",
                   "activation", "use_bias", "rank"});
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
  const math::Layout layout = layout_of(l);
  const int64_t groups = l.integer("groups", 1), c_in = channels(l, x, layout), c_out = l.integer("filters");
  if (groups < 1 || c_in % groups != 0)
    l.b.fail(ErrorKind::Mismatch, "the input's " + std::to_string(c_in) + " channels cannot be cut into " +
                                      std::to_string(groups) + " groups.");
  Value w_sio = l.weight("kernel", with_channels(l.ints("kernel_size", spatial), c_in / groups, c_out));
  Value bias = bias_of(l, c_out);
  Value y_ncs = math::conv(l.b, math::to_channels_first(l.b, x, layout), w_sio, bias, spec_of(l, spatial));
  return finish(l, y_ncs, layout);
}

Tensors depthwise_conv(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate",
                   "activation", "use_bias", "rank", "groups", "filters"});
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
  const math::Layout layout = layout_of(l);
  const int64_t c_in = channels(l, x, layout), multiplier = l.integer("depth_multiplier", 1);
  const char* name = l.host().keras3 ? "kernel" : "depthwise_kernel";
  Value w_scm = l.weight(name, with_channels(l.ints("kernel_size", spatial), c_in, multiplier));
  Value bias = bias_of(l, c_in * multiplier);
  Value y_ncs = math::depthwise_conv(l.b, math::to_channels_first(l.b, x, layout), w_scm, bias, spec_of(l, spatial));
  return finish(l, y_ncs, layout);
}

Tensors separable_conv(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"filters", "kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate",
                   "activation", "use_bias", "rank", "groups"});
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
  const math::Layout layout = layout_of(l);
  const int64_t c_in = channels(l, x, layout), multiplier = l.integer("depth_multiplier", 1),
                c_out = l.integer("filters");
  Value w_depthwise = l.weight("depthwise_kernel", with_channels(l.ints("kernel_size", spatial), c_in, multiplier));
  Value w_pointwise =
      l.weight("pointwise_kernel", with_channels(std::vector<int64_t>(spatial, 1), c_in * multiplier, c_out));
  Value bias = bias_of(l, c_out);
  Value x_ncs = math::to_channels_first(l.b, x, layout);
  return finish(l, math::separable_conv(l.b, x_ncs, w_depthwise, w_pointwise, bias, spec_of(l, spatial)), layout);
}

// The output's size minus (input size - 1) * stride.
Ints transposed_extra(const Layer& l, const math::ConvSpec& spec, const std::vector<int64_t>& kernel) {
  Ints extra;
  std::vector<int64_t> output_padding;
  if (l.has("output_padding")) output_padding = l.ints("output_padding", kernel.size());
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int64_t reach = (kernel[i] - 1) * spec.dilations[i] + 1;
    const bool same = spec.padding == math::Padding::Same;
    if (output_padding.empty())
      extra.push_back(same ? spec.strides[i] : std::max(reach, spec.strides[i]));
    else
      extra.push_back((same ? reach % 2 : reach) + output_padding[i]);
  }
  return extra;
}

Tensors conv_transpose(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate",
                   "activation", "use_bias", "rank", "groups"});
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
  const math::Layout layout = layout_of(l);
  const std::vector<int64_t> kernel = l.ints("kernel_size", spatial);
  const int64_t c_out = l.integer("filters");
  Value w_soi = l.weight("kernel", with_channels(kernel, c_out, channels(l, x, layout)));
  Value bias = bias_of(l, c_out);
  const math::ConvSpec spec = spec_of(l, spatial);
  Value x_ncs = math::to_channels_first(l.b, x, layout);
  return finish(l, math::conv_transpose(l.b, x_ncs, w_soi, bias, spec, transposed_extra(l, spec, kernel)), layout);
}

LayerFn with(Tensors (*fn)(Layer&, const Call&, size_t), size_t spatial) {
  return [=](Layer& l, const Call& call) { return fn(l, call, spatial); };
}

}  // namespace

void register_conv(Registry& r) {
  r.layer("Conv1D", with(conv, 1));
  r.layer("Conv1DTranspose", with(conv_transpose, 1));
  r.layer("Conv2D", with(conv, 2));
  r.layer("Conv2DTranspose", with(conv_transpose, 2));
  r.layer("Conv3D", with(conv, 3));
  r.layer("Conv3DTranspose", with(conv_transpose, 3));
  r.layer("DepthwiseConv1D", with(depthwise_conv, 1));
  r.layer("DepthwiseConv2D", with(depthwise_conv, 2));
  r.layer("SeparableConv1D", with(separable_conv, 1));
  r.layer("SeparableConv2D", with(separable_conv, 2));
}

}  // namespace midstream::keras
