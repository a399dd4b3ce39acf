// TensorFlow's image resizing where aten's differs (bicubic) or has none (area, Lanczos, Gaussian, Mitchell). All are
// linear and separable, so one small matrix per axis says them: a graph multiplies with it, and autograd does the rest.
// Half-pixel centres; the arithmetic of the weights is float32, in TensorFlow's order.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "libtorch/ops.h"

namespace midstream {
namespace {

struct Matrix {
  int64_t in, out;
  float* weights;  // [out, in], zeros at first
  float& at(int64_t y, int64_t x) { return weights[y * in + x]; }
  float scale() const { return static_cast<float>(in) / static_cast<float>(out); }
};

void normalize(float* weights, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += weights[i];
  if (std::abs(sum) < 1000.0f * std::numeric_limits<float>::min()) return;
  const float inverse = 1.0f / sum;
  for (int64_t i = 0; i < n; ++i) weights[i] *= inverse;
}

// Keys' cubic (a = -0.5), read from a table of 1024 steps: the quantized distance is part of the result.
void bicubic(Matrix m) {
  constexpr int64_t kSteps = 1024;
  constexpr double a = -0.5;
  auto near = [](int64_t step) {
    const float x = static_cast<float>(static_cast<double>(step) / kSteps);
    return static_cast<float>(((a + 2) * x - (a + 3)) * x * x + 1);
  };
  auto far = [](int64_t step) {
    float x = static_cast<float>(static_cast<double>(step) / kSteps);
    x = static_cast<float>(x + 1.0);
    return static_cast<float>(((a * x - 5 * a) * x + 8 * a) * x - 4 * a);
  };
  for (int64_t y = 0; y < m.out; ++y) {
    const float position = (static_cast<float>(y) + 0.5f) * m.scale() - 0.5f;
    const auto whole = static_cast<int64_t>(std::floor(position));
    const int64_t step = std::lrintf((position - static_cast<float>(whole)) * kSteps);
    float w[4] = {far(step), near(step), near(kSteps - step), far(kSteps - step)};
    for (int64_t i = 0; i < 4; ++i)
      if (whole - 1 + i < 0 || whole - 1 + i >= m.in) w[i] = 0;
    normalize(w, 4);
    for (int64_t i = 0; i < 4; ++i)
      if (w[i] != 0) m.at(y, whole - 1 + i) = w[i];
  }
}

void area(Matrix m) {
  const float scale = m.scale();
  for (int64_t y = 0; y < m.out; ++y) {
    const float from = static_cast<float>(y) * scale, to = static_cast<float>(y + 1) * scale;
    for (auto x = static_cast<int64_t>(std::floor(from)); x < std::min(static_cast<int64_t>(std::ceil(to)), m.in);
         ++x) {
      const float covered = std::min(static_cast<float>(x + 1), to) - std::max(static_cast<float>(x), from);
      m.at(y, x) = covered / scale;
    }
  }
}

struct Kernel {
  float radius;
  std::function<float(float)> weight;  // of a distance >= 0
};

float lanczos(float radius, float x) {
  constexpr float kPi = 3.14159265359f;
  if (x > radius) return 0;
  if (x <= 1e-3f) return 1;
  return radius * std::sin(kPi * x) * std::sin(kPi * x / radius) / (kPi * kPi * x * x);
}

float mitchell(float x) {
  if (x >= 2) return 0;
  if (x >= 1) return (((-7.0f / 18.0f) * x + 2.0f) * x - 10.0f / 3.0f) * x + 16.0f / 9.0f;
  return (((7.0f / 6.0f) * x - 2.0f) * x) * x + 8.0f / 9.0f;
}

float gaussian(float x) {
  constexpr float kRadius = 1.5f, kSigma = kRadius / 3.0f;
  return x >= kRadius ? 0 : std::exp(-x * x / (2 * kSigma * kSigma));
}

// Keys' cubic of ScaleAndTranslate, which reads no table.
float keys(float x) {
  if (x >= 2) return 0;
  if (x >= 1) return ((-0.5f * x + 2.5f) * x - 4.0f) * x + 2.0f;
  return ((1.5f * x - 2.5f) * x) * x + 1.0f;
}

float triangle(float x) { return x < 1 ? 1 - x : 0; }

Kernel kernel_of(const std::string& method) {
  if (method == "lanczos3") return {3, [](float x) { return lanczos(3, x); }};
  if (method == "lanczos5") return {5, [](float x) { return lanczos(5, x); }};
  if (method == "bicubic") return {2, keys};
  if (method == "bilinear") return {1, triangle};
  if (method == "mitchellcubic") return {2, mitchell};
  if (method == "gaussian") return {1.5f, gaussian};
  TORCH_CHECK(false, "resize_matrix: unknown method '", method, "'");
}

// TensorFlow's ScaleAndTranslate. Antialiasing widens the kernel by the factor by which the image gets smaller.
void sampled(Matrix m, const Kernel& kernel, bool antialias) {
  const float scale = static_cast<float>(m.out) / static_cast<float>(m.in);
  const float inverse = static_cast<float>(1.0 / scale);
  const float width = antialias ? std::max(inverse, 1.0f) : 1.0f, narrow = 1.0f / width;
  for (int64_t y = 0; y < m.out; ++y) {
    const float position = (static_cast<float>(y) + 0.5f) * inverse;
    if (position < 0 || position > static_cast<float>(m.in)) continue;
    auto first = static_cast<int64_t>(std::ceil(position - kernel.radius * width - 0.5f));
    auto last = static_cast<int64_t>(std::floor(position + kernel.radius * width - 0.5f));
    first = std::clamp<int64_t>(first, 0, m.in - 1);
    last = std::clamp<int64_t>(last, 0, m.in - 1);
    for (int64_t x = first; x <= last; ++x)
      m.at(y, x) = kernel.weight(std::abs((static_cast<float>(x) + 0.5f - position) * narrow));
    normalize(&m.at(y, first), last - first + 1);
  }
}

// The matrix [size, x.size(dim)] that resizes axis `dim` of x.
at::Tensor resize_matrix(const at::Tensor& x, int64_t dim, int64_t size, std::string_view method,
                         bool antialias) {
  at::Tensor weights = at::zeros({size, x.size(dim)}, at::TensorOptions().dtype(at::kFloat));
  Matrix m{x.size(dim), size, weights.data_ptr<float>()};
  if (method == "bicubic" && !antialias)
    bicubic(m);
  else if (method == "area")
    area(m);
  else
    sampled(m, kernel_of(std::string(method)), antialias);
  return weights.to(x.device());
}

}  // namespace

void register_image_ops(torch::Library& m, ShapeRules& rules) {
  m.def("resize_matrix(Tensor x, int dim, int size, str method, bool antialias=False) -> Tensor",
        [](const at::Tensor& x, int64_t dim, int64_t size, std::string_view method, bool antialias) {
          return resize_matrix(x, dim, size, method, antialias);
        });
  rules.add("midstream::resize_matrix", [](const std::vector<SampleArg>& a) {
    const Dims& x = tensor(a[0]).dims;
    const int64_t dim = integer(a[1]) < 0 ? integer(a[1]) + static_cast<int64_t>(x.size()) : integer(a[1]);
    return std::vector<SampleOutput>{output(DType::Float32, {integer(a[2]), x.at(static_cast<size_t>(dim))})};
  });
}

}  // namespace midstream
