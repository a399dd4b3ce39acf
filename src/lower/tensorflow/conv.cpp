// Convolutions and pooling. Formulas are in lower/math.
#include "lower/math/conv.h"

#include "lower/math/pool.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"
#include "lower/tensorflow/layout.h"

namespace midstream::tensorflow {

math::Layout layout_of(const Op& op) {
  const std::string format = op.text("data_format", "NHWC");
  if (format == "NHWC" || format == "NDHWC" || format == "NWC") return math::Layout::ChannelsLast;
  if (format == "NCHW" || format == "NCDHW" || format == "NCW") return math::Layout::ChannelsFirst;
  op.fail(ErrorKind::Unsupported, "data_format=" + format + ": NHWC and NCHW are known.");
}

// Where the spatial axes begin.
static size_t first_axis(const Op& op) { return layout_of(op) == math::Layout::ChannelsLast ? 1 : 2; }

std::vector<int64_t> spatial(const Op& op, const std::vector<int64_t>& per_axis, size_t axes) {
  if (per_axis.empty()) return std::vector<int64_t>(axes, 1);
  const size_t first = first_axis(op);
  if (per_axis.size() != axes + 2) op.fail(ErrorKind::BadFile, "has " + std::to_string(per_axis.size()) + " strides.");
  for (size_t i = 0; i < per_axis.size(); ++i)
    if ((i < first || i >= first + axes) && per_axis[i] != 1)
      op.fail(ErrorKind::Unsupported, "has a window or stride over the batch or the channels.");
  const auto begin = per_axis.begin() + static_cast<std::ptrdiff_t>(first);
  return {begin, begin + static_cast<std::ptrdiff_t>(axes)};
}

math::Padding padding_of(const Op& op) {
  const std::string padding = op.text("padding");
  if (padding == "SAME") return math::Padding::Same;
  if (padding == "VALID") return math::Padding::Valid;
  if (padding == "EXPLICIT") return math::Padding::Explicit;
  op.fail(ErrorKind::Unsupported, "padding=" + padding + ": SAME, VALID and EXPLICIT are known.");
}

std::vector<std::pair<int64_t, int64_t>> explicit_padding(const Op& op, size_t axes) {
  std::vector<std::pair<int64_t, int64_t>> out;
  const std::vector<int64_t> all = op.int_list("explicit_paddings");
  const size_t first = 2 * first_axis(op);
  if (padding_of(op) != math::Padding::Explicit) return out;
  if (all.size() != 2 * (axes + 2))
    op.fail(ErrorKind::BadFile, "has " + std::to_string(all.size()) + " explicit paddings.");
  for (size_t i = 0; i < axes; ++i) out.emplace_back(all[first + 2 * i], all[first + 2 * i + 1]);
  return out;
}

math::ConvSpec conv_spec(const Op& op, size_t axes) {
  return {.strides = spatial(op, op.int_list("strides"), axes),
          .dilations = spatial(op, op.int_list("dilations"), axes),
          .padding = padding_of(op),
          .explicit_padding = explicit_padding(op, axes)};
}

namespace {

#define CONV_ATTRS "strides", "padding", "dilations", "data_format", "explicit_paddings", "use_cudnn_on_gpu"

OpFn convolution(size_t axes) {
  return [axes](Op& op) {
    op.expect_attrs({CONV_ATTRS});
    const math::Layout layout = layout_of(op);
    Value x_ncs = math::to_channels_first(op.b, op.input(0), layout);
    Value y_ncs = math::conv(op.b, x_ncs, op.input(1), {}, conv_spec(op, axes));
    op.output(math::from_channels_first(op.b, y_ncs, layout));
  };
}

void depthwise(Op& op) {
  op.expect_attrs({CONV_ATTRS});
  const math::Layout layout = layout_of(op);
  Value x_nchw = math::to_channels_first(op.b, op.input(0), layout);
  Value y_nchw = math::depthwise_conv(op.b, x_nchw, op.input(1), {}, conv_spec(op, 2));
  op.output(math::from_channels_first(op.b, y_nchw, layout));
}

// input_sizes, filter, out_backprop: as TensorFlow's models transpose a convolution.
OpFn transposed(size_t axes) {
  return [axes](Op& op) {
    op.expect_attrs({CONV_ATTRS});
    const math::Layout layout = layout_of(op);
    const math::ConvSpec spec = conv_spec(op, axes);
    Ints sizes = op.ints(0);
    const size_t first = sizes.size() == axes ? 0 : first_axis(op);
    Value x_ncs = math::to_channels_first(op.b, op.input(2), layout);
    Ints extra;
    for (size_t i = 0; i < axes; ++i)
      extra.push_back(sizes.at(first + i) - (op.b.size(x_ncs, static_cast<int64_t>(i) + 2) - 1) * spec.strides[i]);
    Value y_ncs = math::conv_transpose(op.b, x_ncs, op.input(1), {}, spec, extra);
    op.output(math::from_channels_first(op.b, y_ncs, layout));
  };
}

using Pool = Value (*)(Builder&, Value, const math::PoolSpec&);

// The window is an attribute, or (V2) the second and third inputs.
OpFn pooling(size_t axes, Pool pool) {
  return [axes, pool](Op& op) {
    op.expect_attrs({"ksize", "strides", "padding", "data_format", "explicit_paddings"});
    const math::Layout layout = layout_of(op);
    auto sizes = [&](const char* attr, size_t input) {
      return op.has(attr) ? op.int_list(attr) : known_ints(op, input);
    };
    const math::PoolSpec spec{.window = spatial(op, sizes("ksize", 1), axes),
                              .strides = spatial(op, sizes("strides", 2), axes),
                              .padding = padding_of(op),
                              .explicit_padding = explicit_padding(op, axes)};
    Value y_ncs = pool(op.b, math::to_channels_first(op.b, op.input(0), layout), spec);
    op.output(math::from_channels_first(op.b, y_ncs, layout));
  };
}

#undef CONV_ATTRS

}  // namespace

void register_conv(Registry& r) {
  r.tf("Conv2D", convolution(2));
  r.tf("Conv3D", convolution(3));
  r.tf("DepthwiseConv2dNative", depthwise);
  r.tf("Conv2DBackpropInput", transposed(2));
  r.tf("Conv3DBackpropInputV2", transposed(3));
  r.tf("MaxPool", pooling(2, math::max_pool));
  r.tf("MaxPoolV2", pooling(2, math::max_pool));
  r.tf("MaxPool3D", pooling(3, math::max_pool));
  r.tf("AvgPool", pooling(2, math::average_pool));
  r.tf("AvgPool3D", pooling(3, math::average_pool));
}

}  // namespace midstream::tensorflow
