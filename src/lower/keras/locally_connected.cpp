// LocallyConnected1D and 2D of Keras 1 and 2: a convolution with a kernel of its own at every position.
#include <fmt/format.h>

#include "lower/keras/layout.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Windows of an axis: [.., n, ..] -> [.., positions, .., kernel], the kernel behind all other axes.
Value windows(Builder& b, Value v, int64_t axis, int64_t kernel, int64_t stride) {
  return b.call("aten::unfold", {{"self", v}, {"dimension", axis}, {"size", kernel}, {"step", stride}});
}

Tensors locally_connected(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias",
                   "implementation"});
  Builder& b = l.b;
  if (padding_of(l) != math::Padding::Valid)
    b.fail(ErrorKind::Unsupported, "its padding is 'same', of which Keras has other arrays in the file.",
           "Known is 'valid' with implementation 1.");
  if (l.integer("implementation", 1) != 1)
    b.fail(ErrorKind::Unsupported,
           fmt::format("its implementation is {}, of which Keras has other arrays in the file: known is 1.",
                       l.integer("implementation")),
           "Load the weights into a model with implementation=1 in Keras and save that.");
  const math::Layout layout = layout_of(l);
  const bool first = layout == math::Layout::ChannelsFirst;
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
  const int64_t c_in = channels(l, x, layout), filters = l.integer("filters");
  const std::vector<int64_t> kernel = l.ints("kernel_size", spatial), strides = l.ints("strides", spatial);
  const int64_t axis = first_spatial(layout);
  std::vector<int64_t> positions;
  int64_t all = 1, window = c_in;
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t n = b.dims(x)[static_cast<size_t>(axis) + i];
    if (n == kUnknown || n < kernel[i])
      b.fail(ErrorKind::Mismatch, fmt::format("its input has shape {}: fixed spatial sizes of at least {} are wanted.",
                                              to_string(b.dims(x)), kernel[i]));
    positions.push_back((n - kernel[i]) / strides[i] + 1);
    all *= positions.back();
    window *= kernel[i];
  }
  Value w = l.weight("kernel", {all, window, filters});
  std::vector<int64_t> bias_dims = positions;
  bias_dims.push_back(filters);
  Value bias = l.flag("use_bias", true) ? l.weight("bias", bias_dims) : Value{};

  // [batch, positions..., kernel..., channels], or the channels before the kernel, as Keras flattens its windows.
  for (size_t i = 0; i < spatial; ++i) x = windows(b, x, axis + static_cast<int64_t>(i), kernel[i], strides[i]);
  std::vector<int64_t> order{0};
  const auto n = static_cast<int64_t>(spatial);
  for (int64_t i = 0; i < n; ++i) order.push_back(axis + i);
  if (first) order.push_back(1);
  for (int64_t i = 0; i < n; ++i) order.push_back(n + 2 + i);
  if (!first) order.push_back(n + 1);
  const Int batch = b.size(x, 0);
  Value flat = b.reshape(b.permute(x, order), {batch, all, window});
  Value y = b.permute(b.matmul(b.permute(flat, {1, 0, 2}), w), {1, 0, 2});  // [batch, positions, filters]
  Ints shape{batch};
  for (int64_t p : positions) shape.push_back(p);
  shape.push_back(filters);
  y = b.reshape(y, shape);
  if (first) y = math::to_channels_first(b, y, math::Layout::ChannelsLast);
  if (bias && first) {
    // Keras reads the bias [positions..., filters] as [filters, positions...], without moving an element.
    Ints as{filters};
    for (int64_t p : positions) as.push_back(p);
    bias = b.reshape(bias, as);
  }
  if (bias) y = b.add(y, bias);
  return {{l.activation(y), {}}};
}

}  // namespace

void register_locally_connected(Registry& r) {
  for (const size_t spatial : {1, 2})
    r.layer(fmt::format("LocallyConnected{}D", spatial),
            [spatial](Layer& l, const Call& call) { return locally_connected(l, call, spatial); });
}

}  // namespace midstream::keras
