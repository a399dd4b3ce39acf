// Transcendental functions as the C library computes them. PyTorch's vectorized kernels (SLEEF) may differ from it in
// the last bit, and TensorFlow uses the C library for single numbers: bias corrections and learning rates, which
// multiply everything that training does.
#include <ATen/ATen.h>

#include <cmath>

#include "libtorch/ops.h"

namespace midstream {
namespace {

template <class F>
at::Tensor map(const at::Tensor& x, F f) {
  at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  AT_DISPATCH_FLOATING_TYPES(in.scalar_type(), "midstream::scalar", [&] {
    const scalar_t* from = in.const_data_ptr<scalar_t>();
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    for (int64_t i = 0; i < in.numel(); ++i) to[i] = static_cast<scalar_t>(f(from[i]));
  });
  return out;
}

at::Tensor scalar_pow(const at::Tensor& self, const at::Tensor& exponent) {
  TORCH_CHECK(self.scalar_type() == exponent.scalar_type() && exponent.numel() == 1,
              "scalar_pow takes one exponent of the base's dtype");
  return map(self, [&](auto x) { return std::pow(x, exponent.item<decltype(x)>()); });
}

// aten::sqrt goes through MKL, which rounds one float64 in a hundred the wrong way. Float32 results are not judged by
// their bits, and keep the fast path.
at::Tensor exact_sqrt(const at::Tensor& self) {
  if (self.scalar_type() != at::kDouble || !self.is_cpu()) return at::sqrt(self);
  return map(self, [](double x) { return std::sqrt(x); });
}

}  // namespace

void register_scalar_ops(torch::Library& library, ShapeRules& rules) {
  library.def("scalar_pow(Tensor self, Tensor exponent) -> Tensor", scalar_pow);
  library.def("scalar_cos(Tensor self) -> Tensor",
              [](const at::Tensor& x) { return map(x, [](auto v) { return std::cos(v); }); });
  library.def("scalar_log(Tensor self) -> Tensor",
              [](const at::Tensor& x) { return map(x, [](auto v) { return std::log(v); }); });
  library.def("exact_sqrt(Tensor self) -> Tensor", exact_sqrt);
  auto same = [](const std::vector<SampleArg>& a) {
    return std::vector{output(tensor(a[0]).dtype, tensor(a[0]).dims)};
  };
  for (const char* op :
       {"midstream::scalar_pow", "midstream::scalar_cos", "midstream::scalar_log", "midstream::exact_sqrt"})
    rules.add(op, same);
}

}  // namespace midstream
