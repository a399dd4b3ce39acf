// LocallyConnected1D and 2D of Keras 1 and 2: a convolution with a kernel of its own at every position.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "lower/keras/layout.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Windows of an axis: [.., n, ..] -> [.., positions, .., kernel], the kernel behind all other axes.
Value windows(Builder& b, Value v, int64_t axis, int64_t kernel, int64_t stride) {
  return b.call("aten::unfold", {{"self", v}, {"dimension", axis}, {"size", kernel}, {"step", stride}});
}

// Sizes of one layer; the vectors have one entry a spatial axis.
struct Sizes {
  std::vector<int64_t> input, kernel, strides, positions, before;  // before: padding
  int64_t channels, filters;
  bool first;  // channels_first
};

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return n;
}

// Calls `fn` for every index of an array of these sizes, the last one fastest.
void for_each_index(const std::vector<int64_t>& sizes, const std::function<void(const std::vector<int64_t>&)>& fn) {
  std::vector<int64_t> at(sizes.size(), 0);
  for (int64_t n = product(sizes); n > 0; --n) {
    fn(at);
    for (size_t i = sizes.size(); i-- > 0;) {
      if (++at[i] < sizes[i]) break;
      at[i] = 0;
    }
  }
}

int64_t flat(const std::vector<int64_t>& at, const std::vector<int64_t>& sizes) {
  int64_t out = 0;
  for (size_t i = 0; i < at.size(); ++i) out = out * sizes[i] + at[i];
  return out;
}

std::vector<int64_t> with_channels(std::vector<int64_t> spatial, int64_t channels, bool first) {
  spatial.insert(first ? spatial.begin() : spatial.end(), channels);
  return spatial;
}

// For every weight [position, window, filter], the element of a matrix [inputs, outputs] that it is. A window that
// reaches into the padding has none there; the input is 0, so that any will do.
std::vector<int64_t> elements_of_matrix(const Sizes& s, int64_t inputs, int64_t outputs, bool transposed) {
  std::vector<int64_t> out;
  const std::vector<int64_t> window = with_channels(s.kernel, s.channels, s.first);
  for_each_index(s.positions, [&](const std::vector<int64_t>& position) {
    for_each_index(window, [&](const std::vector<int64_t>& in_window) {
      std::vector<int64_t> at = in_window;
      bool inside = true;
      for (size_t i = 0; i < position.size(); ++i) {
        int64_t& x = at[i + (s.first ? 1 : 0)];
        x += position[i] * s.strides[i] - s.before[i];
        inside = inside && x >= 0 && x < s.input[i];
      }
      const int64_t input = inside ? flat(at, with_channels(s.input, s.channels, s.first)) : -1;
      for (int64_t f = 0; f < s.filters; ++f) {
        const int64_t output =
            flat(with_channels(position, f, s.first), with_channels(s.positions, s.filters, s.first));
        out.push_back(input < 0 ? -1 : transposed ? output * inputs + input : input * outputs + output);
      }
    });
  });
  return out;
}

// The kernel [positions, window, filters] of any of Keras' three implementations.
Value kernel_of(Layer& l, const Sizes& s) {
  Builder& b = l.b;
  const int64_t all = product(s.positions), window = product(s.kernel) * s.channels;
  const int64_t implementation = l.integer("implementation", 1);
  if (implementation == 1) return l.weight("kernel", {all, window, s.filters});
  const int64_t inputs = product(s.input) * s.channels, outputs = all * s.filters;
  std::vector<int64_t> elements = elements_of_matrix(s, inputs, outputs, implementation == 3);
  Value w;
  if (implementation == 2) {  // a matrix between all inputs and all outputs
    std::vector<int64_t> dims = with_channels(s.input, s.channels, s.first);
    const std::vector<int64_t> to = with_channels(s.positions, s.filters, s.first);
    dims.insert(dims.end(), to.begin(), to.end());
    w = b.reshape(l.weight("kernel", dims), {-1});
  } else {  // the elements of that matrix that are not zero, in the order of outputs and inputs
    std::vector<int64_t> there = elements;
    std::sort(there.begin(), there.end());
    there.erase(std::unique(there.begin(), there.end()), there.end());
    if (!there.empty() && there[0] < 0) there.erase(there.begin());
    w = l.weight("kernel", {static_cast<int64_t>(there.size())});
    for (int64_t& e : elements)
      if (e >= 0) e = std::lower_bound(there.begin(), there.end(), e) - there.begin();
  }
  for (int64_t& e : elements) e = std::max<int64_t>(e, 0);
  const auto n = static_cast<int64_t>(elements.size());
  Value index = b.constant(Array::of<int64_t>(DType::Int64, {n}, std::move(elements)));
  return b.reshape(b.call("aten::index_select", {{"self", w}, {"dim", 0}, {"index", index}}), {all, window, s.filters});
}

Tensors locally_connected(Layer& l, const Call& call, size_t spatial) {
  l.expect_config(
      {"filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias", "implementation"});
  Builder& b = l.b;
  const bool same = padding_of(l) == math::Padding::Same;
  const int64_t implementation = l.integer("implementation", 1);
  if (implementation < 1 || implementation > 3 || (same && implementation == 1))
    b.fail(ErrorKind::Unsupported,
           fmt::format("there is no implementation {} of it with this padding in Keras.", implementation));
  const math::Layout layout = layout_of(l);
  const bool first = layout == math::Layout::ChannelsFirst;
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
  Sizes s{.input = {},
          .kernel = l.ints("kernel_size", spatial),
          .strides = l.ints("strides", spatial),
          .positions = {},
          .before = {},
          .channels = channels(l, x, layout),
          .filters = l.integer("filters"),
          .first = first};
  const int64_t axis = first_spatial(layout), filters = s.filters;
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t n = b.dims(x)[static_cast<size_t>(axis) + i];
    if (n == kUnknown || (!same && n < s.kernel[i]))
      b.fail(ErrorKind::Mismatch, fmt::format("its input has shape {}: fixed spatial sizes of at least {} are wanted.",
                                              to_string(b.dims(x)), s.kernel[i]));
    s.input.push_back(n);
    s.positions.push_back(same ? (n + s.strides[i] - 1) / s.strides[i] : (n - s.kernel[i]) / s.strides[i] + 1);
    s.before.push_back(same ? s.kernel[i] / 2 : 0);
  }
  const int64_t all = product(s.positions), window = product(s.kernel) * s.channels;
  const std::vector<int64_t>& positions = s.positions;
  Value w = kernel_of(l, s);
  std::vector<int64_t> bias_dims = positions;
  bias_dims.push_back(filters);
  Value bias = l.flag("use_bias", true) ? l.weight("bias", bias_dims) : Value{};
  if (same) {
    // Its windows are around every stride-th pixel, unlike those of a convolution.
    Ints pads;
    if (!first) pads = {0, 0};
    for (size_t i = spatial; i-- > 0;) {
      const int64_t end = (positions[i] - 1) * s.strides[i] + s.kernel[i];
      pads.insert(pads.end(), {Int(s.before[i]), Int(std::max<int64_t>(end - s.before[i] - s.input[i], 0))});
    }
    x = b.pad(x, pads);
    for (size_t i = 0; i < spatial; ++i)
      x = b.slice(x, axis + static_cast<int64_t>(i), 0, (positions[i] - 1) * s.strides[i] + s.kernel[i]);
  }

  // [batch, positions..., kernel..., channels], or the channels before the kernel, as Keras flattens its windows.
  for (size_t i = 0; i < spatial; ++i) x = windows(b, x, axis + static_cast<int64_t>(i), s.kernel[i], s.strides[i]);
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
