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
  rules.add("aten::complex", complex);
  rules.add("aten::flip", same);
  rules.add("aten::linalg_solve_triangular", solve_triangular);
  rules.add("aten::logcumsumexp", same);
  rules.add("aten::logsumexp", logsumexp);
  rules.add("aten::randperm", randperm);
  rules.add("aten::roll", same);
  rules.add("aten::var.correction", var);
}

}  // namespace midstream
