// Shape rules for the aten operators whose meta kernels exist in Python only. Formulas: PyTorch's documentation of the
// operator of the same name.
#include <numeric>

#include "base/error.h"
#include "libtorch/shape_rules.h"

namespace midstream {
namespace {

using Sampled = const std::vector<SampleArg>&;
using Outputs = std::vector<SampleOutput>;

// One int stands for all axes.
std::vector<int64_t> spread(const SampleArg& arg, size_t n) {
  if (auto* one = std::get_if<int64_t>(&arg)) return std::vector<int64_t>(n, *one);
  std::vector<int64_t> v = ints(arg);
  if (v.size() == 1) v.resize(n, v[0]);
  return v;
}

std::string shown(const Dims& dims) { return to_string(dims); }

Outputs conv(Sampled a, size_t spatial) {
  const SampleTensor& x = tensor(a[0]);
  const SampleTensor& w = tensor(a[1]);
  if (x.dims.size() != spatial + 2 || w.dims.size() != spatial + 2)
    bad_shape("a convolution's input is " + shown(x.dims) + " and its weight " + shown(w.dims) + ".");
  int64_t groups = integer(a[6]);
  if (x.dims[1] != w.dims[1] * groups || w.dims[0] % groups != 0)
    bad_shape("a convolution has an input of " + std::to_string(x.dims[1]) + " channels, but its weight " +
              shown(w.dims) + " with " + std::to_string(groups) + " groups wants " +
              std::to_string(w.dims[1] * groups) + ".");
  auto stride = spread(a[3], spatial), padding = spread(a[4], spatial), dilation = spread(a[5], spatial);
  Dims out{x.dims[0], w.dims[0]};
  for (size_t i = 0; i < spatial; ++i) {
    int64_t reach = dilation[i] * (w.dims[i + 2] - 1) + 1, padded = x.dims[i + 2] + 2 * padding[i];
    if (padded < reach)
      bad_shape("a convolution's kernel reaches over " + std::to_string(reach) + " pixels, but the padded input has " +
                std::to_string(padded) + ".");
    out.push_back((padded - reach) / stride[i] + 1);
  }
  return {output(x.dtype, std::move(out))};
}

Outputs conv_transpose(Sampled a, size_t spatial) {
  const SampleTensor& x = tensor(a[0]);
  const SampleTensor& w = tensor(a[1]);
  if (x.dims.size() != spatial + 2 || w.dims.size() != spatial + 2 || x.dims[1] != w.dims[0])
    bad_shape("a transposed convolution's input is " + shown(x.dims) + " and its weight " + shown(w.dims) + ".");
  auto stride = spread(a[3], spatial), padding = spread(a[4], spatial), extra = spread(a[5], spatial);
  int64_t groups = integer(a[6]);
  auto dilation = spread(a[7], spatial);
  Dims out{x.dims[0], w.dims[1] * groups};
  for (size_t i = 0; i < spatial; ++i)
    out.push_back((x.dims[i + 2] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (w.dims[i + 2] - 1) + extra[i] + 1);
  return {output(x.dtype, std::move(out))};
}

// max_pool3d(self, kernel_size, stride, padding, dilation, ceil_mode) and
// avg_pool3d(self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
Outputs pool3d(Sampled a, bool dilates) {
  const SampleTensor& x = tensor(a[0]);
  if (x.dims.size() != 5) bad_shape("a pooling over three axes has an input " + shown(x.dims) + ".");
  const auto window = spread(a[1], 3), padding = spread(a[3], 3);
  const auto stride = ints(a[2]).empty() ? window : spread(a[2], 3);
  const auto dilation = dilates ? spread(a[4], 3) : std::vector<int64_t>(3, 1);
  const bool ceil = boolean(a[dilates ? 5 : 4]);
  Dims out{x.dims[0], x.dims[1]};
  for (size_t i = 0; i < 3; ++i) {
    const int64_t n = x.dims[i + 2], free = n + 2 * padding[i] - dilation[i] * (window[i] - 1) - 1;
    if (free < 0 && !(ceil && free + stride[i] > 0))
      bad_shape("a pooling's window reaches over " + std::to_string(dilation[i] * (window[i] - 1) + 1) +
                " positions, but the padded input has " + std::to_string(n + 2 * padding[i]) + ".");
    int64_t size = (free + (ceil ? stride[i] - 1 : 0)) / stride[i] + 1;
    if (ceil && (size - 1) * stride[i] >= n + padding[i]) --size;  // a window must start inside
    out.push_back(size);
  }
  return {output(x.dtype, std::move(out))};
}

Outputs same_as_first(Sampled a) { return {output(tensor(a[0]).dtype, tensor(a[0]).dims)}; }

Outputs layer_norm(Sampled a) {
  const Dims& x = tensor(a[0]).dims;
  const auto& normalized = ints(a[1]);
  if (normalized.size() > x.size() || !std::equal(normalized.rbegin(), normalized.rend(), x.rbegin()))
    bad_shape("layer_norm over " + shown(normalized) + " of an input " + shown(x) + ".");
  return same_as_first(a);
}

Outputs batch_norm(Sampled a) {
  const Dims& x = tensor(a[0]).dims;
  for (size_t i = 1; i <= 4; ++i) {
    if (is_none(a[i])) continue;
    const Dims& w = tensor(a[i]).dims;
    if (x.size() < 2 || w.size() != 1 || w[0] != x[1])
      bad_shape("batch_norm of an input " + shown(x) + " with a parameter " + shown(w) + ".");
  }
  return same_as_first(a);
}

// adaptive_avg_pool<n>d(self, output_size)
Outputs adaptive_average(Sampled a, size_t n) {
  const SampleTensor& x = tensor(a[0]);
  if (x.dims.size() != n + 2) bad_shape("an adaptive pooling of an input " + shown(x.dims) + ".");
  Dims out{x.dims[0], x.dims[1]};
  for (int64_t size : ints(a[1])) out.push_back(size);
  return {output(x.dtype, std::move(out))};
}

// group_norm(input, num_groups, weight, bias, eps, cudnn_enabled)
Outputs group_norm(Sampled a) {
  const Dims& x = tensor(a[0]).dims;
  const int64_t groups = integer(a[1]);
  if (x.size() < 2 || groups < 1 || x[1] % groups != 0)
    bad_shape("group_norm of an input " + shown(x) + " in " + std::to_string(groups) + " groups.");
  for (size_t i = 2; i <= 3; ++i)
    if (!is_none(a[i]) && tensor(a[i]).dims != Dims{x[1]})
      bad_shape("group_norm of an input " + shown(x) + " with a parameter " + shown(tensor(a[i]).dims) + ".");
  return same_as_first(a);
}

Outputs embedding(Sampled a) {
  const SampleTensor& w = tensor(a[0]);
  const SampleTensor& indices = tensor(a[1]);
  if (w.dims.size() != 2) bad_shape("an embedding table has shape " + shown(w.dims) + ".");
  Dims out = indices.dims;
  out.push_back(w.dims[1]);
  return {output(w.dtype, std::move(out))};
}

Outputs index_select(Sampled a) {
  Dims out = tensor(a[0]).dims;
  int64_t dim = integer(a[1]) < 0 ? integer(a[1]) + static_cast<int64_t>(out.size()) : integer(a[1]);
  out.at(static_cast<size_t>(dim)) = num_elements(tensor(a[2]).dims);
  return {output(tensor(a[0]).dtype, std::move(out))};
}

Outputs attention(Sampled a) {
  const SampleTensor &q = tensor(a[0]), &k = tensor(a[1]), &v = tensor(a[2]);
  if (q.dims.size() < 2 || q.dims.back() != k.dims.back() || k.dims.end()[-2] != v.dims.end()[-2])
    bad_shape("attention of query " + shown(q.dims) + ", key " + shown(k.dims) + ", value " + shown(v.dims) + ".");
  Dims out = q.dims;
  out.back() = v.dims.back();
  return {output(q.dtype, std::move(out))};
}

// How many elements are not zero only the data say.
Outputs nonzero(Sampled a) {
  return {output(DType::Int64, {kUnknown, static_cast<int64_t>(tensor(a[0]).dims.size())})};
}

// Where values stand among sorted ones: searchsorted.Tensor(sorted_sequence, self, *, out_int32, ...) and
// bucketize.Tensor(self, boundaries, *, out_int32, ...). `values`: which argument they are.
Outputs places(Sampled a, size_t values) {
  return {output(boolean(a[2]) ? DType::Int32 : DType::Int64, tensor(a[values]).dims)};
}

// stft(self, n_fft, hop_length, win_length, window, normalized, onesided, return_complex, align_to_window), where the
// signal is real and the result one-sided and complex.
Outputs stft(Sampled a) {
  const SampleTensor& x = tensor(a[0]);
  const int64_t n = integer(a[1]), hop = is_none(a[2]) ? n / 4 : integer(a[2]);
  if (x.dims.empty() || x.dims.size() > 2 || x.dims.back() < n)
    bad_shape("a Fourier transform of frames of " + std::to_string(n) + " has a signal of shape " + shown(x.dims) +
              ".");
  Dims out(x.dims.begin(), x.dims.end() - 1);
  out.push_back(n / 2 + 1);
  out.push_back(1 + (x.dims.back() - n) / hop);
  return {output(x.dtype == DType::Float64 ? DType::Complex128 : DType::Complex64, std::move(out))};
}

Outputs view_as_real(Sampled a) {
  Dims out = tensor(a[0]).dims;
  out.push_back(2);
  return {output(tensor(a[0]).dtype == DType::Complex128 ? DType::Float64 : DType::Float32, std::move(out))};
}

using SampleList = std::vector<std::optional<SampleTensor>>;

// lstm.input(input, hx[], params[], has_biases, num_layers, dropout, train, bidirectional, batch_first)
Outputs lstm(Sampled a) {
  const SampleTensor& x = tensor(a[0]);
  const SampleList& hx = std::get<SampleList>(a[1]);
  const Dims h = hx.at(0)->dims, c = hx.at(1)->dims;
  if (x.dims.size() != 3 || h.size() != 3)
    bad_shape("lstm of an input " + shown(x.dims) + " with state " + shown(h) + ".");
  Dims out{x.dims[0], x.dims[1], h[2] * (boolean(a[7]) ? 2 : 1)};
  return {output(x.dtype, out), output(x.dtype, h), output(x.dtype, c)};
}

// gru.input / rnn_tanh.input(input, hx, params[], has_biases, num_layers, dropout, train, bidirectional, batch_first)
Outputs rnn(Sampled a) {
  const SampleTensor& x = tensor(a[0]);
  const Dims& h = tensor(a[1]).dims;
  if (x.dims.size() != 3 || h.size() != 3)
    bad_shape("rnn of an input " + shown(x.dims) + " with state " + shown(h) + ".");
  Dims out{x.dims[0], x.dims[1], h[2] * (boolean(a[7]) ? 2 : 1)};
  return {output(x.dtype, out), output(x.dtype, h)};
}

}  // namespace

void register_aten_shapes(ShapeRules& rules) {
  for (size_t n = 1; n <= 3; ++n) {
    rules.add("aten::conv" + std::to_string(n) + "d", [n](Sampled a) { return conv(a, n); });
    std::string overload = n == 1 ? "" : n == 2 ? ".input" : ".input";
    rules.add("aten::conv_transpose" + std::to_string(n) + "d" + overload,
              [n](Sampled a) { return conv_transpose(a, n); });
  }
  for (size_t n = 1; n <= 3; ++n)
    rules.add("aten::adaptive_avg_pool" + std::to_string(n) + "d", [n](Sampled a) { return adaptive_average(a, n); });
  rules.add("aten::avg_pool3d", [](Sampled a) { return pool3d(a, false); });
  rules.add("aten::batch_norm", batch_norm);
  rules.add("aten::bucketize.Tensor", [](Sampled a) { return places(a, 0); });
  rules.add("aten::embedding", embedding);
  rules.add("aten::group_norm", group_norm);
  rules.add("aten::gru.input", rnn);
  rules.add("aten::index_select", index_select);
  rules.add("aten::layer_norm", layer_norm);
  rules.add("aten::lstm.input", lstm);
  rules.add("aten::max_pool3d", [](Sampled a) { return pool3d(a, true); });
  rules.add("aten::nonzero", nonzero);
  rules.add("aten::rnn_relu.input", rnn);
  rules.add("aten::rnn_tanh.input", rnn);
  rules.add("aten::scaled_dot_product_attention", attention);
  rules.add("aten::searchsorted.Tensor", [](Sampled a) { return places(a, 1); });
  rules.add("aten::stft", stft);
  rules.add("aten::view_as_real", view_as_real);
}

}  // namespace midstream
