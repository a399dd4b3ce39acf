// Shape rules of the reductions and a few others whose meta kernels exist in Python only.
#include <algorithm>

#include "libtorch/shape_rules.h"

namespace midstream {
namespace {

using Sampled = const std::vector<SampleArg>&;
using Outputs = std::vector<SampleOutput>;

Outputs same(Sampled a) { return {output(tensor(a[0]).dtype, tensor(a[0]).dims)}; }

int64_t axis_of(int64_t axis, size_t rank) {
  const auto n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n)
    bad_shape("axis " + std::to_string(axis) + " is outside of a tensor of rank " + std::to_string(n) + ".");
  return axis < 0 ? axis + n : axis;
}

// No axes: all of them.
Dims reduced(const Dims& dims, const SampleArg& axes, bool keepdim) {
  std::vector<bool> gone(dims.size(), is_none(axes) || ints(axes).empty());
  if (!is_none(axes))
    for (int64_t axis : ints(axes)) gone[static_cast<size_t>(axis_of(axis, dims.size()))] = true;
  Dims out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!gone[i])
      out.push_back(dims[i]);
    else if (keepdim)
      out.push_back(1);
  }
  return out;
}

// logsumexp(self, dim[], keepdim)
Outputs logsumexp(Sampled a) { return {output(tensor(a[0]).dtype, reduced(tensor(a[0]).dims, a[1], boolean(a[2])))}; }
// var.correction(self, dim[]?, correction, keepdim)
Outputs var(Sampled a) { return {output(tensor(a[0]).dtype, reduced(tensor(a[0]).dims, a[1], boolean(a[3])))}; }

Outputs complex(Sampled a) {
  const SampleTensor& real = tensor(a[0]);
  if (real.dims != tensor(a[1]).dims) bad_shape("real and imaginary part differ in shape.");
  return {output(real.dtype == DType::Float64 ? DType::Complex128 : DType::Complex64, real.dims)};
}

DType complex_of(DType dtype) {
  return dtype == DType::Float64 || dtype == DType::Complex128 ? DType::Complex128 : DType::Complex64;
}

// fft_fft(self, n?, dim, norm?) and fft_rfft, which keeps the first half; fft_irfft is its inverse.
enum class Fourier { Whole, Half, Inverse };
Outputs fourier(Sampled a, Fourier how) {
  const SampleTensor& x = tensor(a[0]);
  Dims out = x.dims;
  const auto axis = static_cast<size_t>(axis_of(integer(a[2]), out.size()));
  const int64_t n = is_none(a[1]) ? (how == Fourier::Inverse ? 2 * (out[axis] - 1) : out[axis]) : integer(a[1]);
  if (n < 1) bad_shape("a Fourier transform of length " + std::to_string(n) + ".");
  out[axis] = how == Fourier::Half ? n / 2 + 1 : n;
  const DType complex = complex_of(x.dtype);
  if (how != Fourier::Inverse) return {output(complex, std::move(out))};
  return {output(complex == DType::Complex128 ? DType::Float64 : DType::Float32, std::move(out))};
}

// fft_fft2(self, s?, dim, norm?), all sizes kept
Outputs fourier2(Sampled a) { return {output(complex_of(tensor(a[0]).dtype), tensor(a[0]).dims)}; }

// How many windows of a kernel fit: im2col and col2im.
int64_t windows(int64_t size, const SampleArg* a, size_t axis) {
  const int64_t kernel = ints(a[0])[axis], dilation = ints(a[1])[axis], padding = ints(a[2])[axis], stride = ints(a[3])[axis];
  const int64_t n = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  if (n < 1) bad_shape("a window of " + std::to_string(kernel) + " does not fit into " + std::to_string(size) + ".");
  return n;
}

// im2col(self, kernel_size, dilation, padding, stride)
Outputs im2col(Sampled a) {
  const Dims& x = tensor(a[0]).dims;
  if (x.size() != 4) bad_shape("unfold is of [batch, channels, height, width].");
  const int64_t n = windows(x[2], &a[1], 0) * windows(x[3], &a[1], 1);
  return {output(tensor(a[0]).dtype, {x[0], x[1] * ints(a[1])[0] * ints(a[1])[1], n})};
}

// col2im(self, output_size, kernel_size, dilation, padding, stride)
Outputs col2im(Sampled a) {
  const Dims &x = tensor(a[0]).dims, size = ints(a[1]), kernel = ints(a[2]);
  if (x.size() != 3 || x[1] % (kernel[0] * kernel[1]) != 0) bad_shape("fold is of [batch, channels * kernel, windows].");
  const int64_t n = windows(size[0], &a[2], 0) * windows(size[1], &a[2], 1);
  if (n != x[2]) bad_shape("fold of " + std::to_string(x[2]) + " windows, " + std::to_string(n) + " fit into the output.");
  return {output(tensor(a[0]).dtype, {x[0], x[1] / (kernel[0] * kernel[1]), size[0], size[1]})};
}

// randperm(n, dtype, ...)
Outputs randperm(Sampled a) {
  return {output(std::holds_alternative<DType>(a[1]) ? std::get<DType>(a[1]) : DType::Int64, {integer(a[0])})};
}

// linalg_solve_triangular(self, B, upper, left, unitriangular): the batches broadcast
Outputs solve_triangular(Sampled a) {
  const Dims &x = tensor(a[0]).dims, &b = tensor(a[1]).dims;
  if (x.size() < 2 || b.size() < 2) bad_shape("a triangular system needs matrices.");
  SampleTensor batch_x{DType::Float32, Dims(x.begin(), x.end() - 2)},
      batch_b{DType::Float32, Dims(b.begin(), b.end() - 2)};
  Dims out = broadcast_shape({batch_x, batch_b});
  out.insert(out.end(), b.end() - 2, b.end());
  return {output(tensor(a[1]).dtype, std::move(out))};
}

}  // namespace

void register_reduce_shapes(ShapeRules& rules) {
  rules.add("aten::col2im", col2im);
  rules.add("aten::complex", complex);
  rules.add("aten::fft_fft", [](Sampled a) { return fourier(a, Fourier::Whole); });
  rules.add("aten::fft_fft2", fourier2);
  rules.add("aten::fft_ifft2", fourier2);
  rules.add("aten::fft_irfft", [](Sampled a) { return fourier(a, Fourier::Inverse); });
  rules.add("aten::fft_rfft", [](Sampled a) { return fourier(a, Fourier::Half); });
  rules.add("aten::flip", same);
  rules.add("aten::im2col", im2col);
  rules.add("aten::linalg_solve_triangular", solve_triangular);
  rules.add("aten::logcumsumexp", same);
  rules.add("aten::logsumexp", logsumexp);
  rules.add("aten::randperm", randperm);
  rules.add("aten::roll", same);
  rules.add("aten::var.correction", var);
}

}  // namespace midstream
