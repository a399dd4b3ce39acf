// TensorFlow's ImageProjectiveTransformV3: where each pixel of the result comes from is float32 arithmetic in its order,
// so that the same matrix gives the same pixels. Computed on the host. The gradient is TensorFlow's as well: the
// gradient's image under the inverse matrix, which is not the derivative but near it.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "libtorch/ops.h"

namespace midstream {
namespace {

enum class Fill { Reflect, Wrap, Constant, Nearest };

Fill fill_of(std::string_view name) {
  if (name == "reflect") return Fill::Reflect;
  if (name == "wrap") return Fill::Wrap;
  if (name == "constant") return Fill::Constant;
  TORCH_CHECK(name == "nearest", "projective_transform: unknown fill_mode '", name, "'");
  return Fill::Nearest;
}

float clipped(float at, int64_t size) { return std::min(std::max(at, 0.0f), static_cast<float>(size - 1)); }

// A coordinate outside of the image, brought inside.
float inside(float at, int64_t size, Fill fill) {
  const auto n = static_cast<float>(size);
  if (fill == Fill::Constant) return at;
  if (fill == Fill::Nearest) return clipped(at, size);
  const bool before = at < 0, after = at > n - 1;
  if ((before || after) && size <= 1) return 0;
  if (fill == Fill::Wrap) {
    const float period = n - 1;
    if (before) at += n * static_cast<float>(static_cast<int64_t>(-at / period) + 1);
    if (after) at -= n * static_cast<float>(static_cast<int64_t>(at / period));
    return clipped(at, size);
  }
  const float period = 2 * n;
  if (before) {
    if (at < period) at = period * static_cast<float>(static_cast<int64_t>(-at / period)) + at;
    at = at < -n ? at + period : -at - 1;
  } else if (after) {
    at -= period * static_cast<float>(static_cast<int64_t>(at / period));
    if (at >= n) at = period - at - 1;
  }
  return clipped(at, size);
}

template <class T>
struct Image {
  const T* pixels;  // [height, width, channels]
  int64_t height, width, channels;
  T fill;
  T at(float y, float x, int64_t c) const {
    const auto iy = static_cast<int64_t>(y), ix = static_cast<int64_t>(x);
    if (iy < 0 || iy >= height || ix < 0 || ix >= width) return fill;
    return pixels[(iy * width + ix) * channels + c];
  }
  T bilinear(float y, float x, int64_t c) const {
    const float y0 = std::floor(y), x0 = std::floor(x), y1 = y0 + 1, x1 = x0 + 1;
    const T left = static_cast<T>(x1 - x), right = static_cast<T>(x - x0);
    const T above = left * at(y0, x0, c) + right * at(y0, x1, c);
    const T below = left * at(y1, x0, c) + right * at(y1, x1, c);
    return static_cast<T>(y1 - y) * above + static_cast<T>(y - y0) * below;
  }
};

template <class T>
void transform(const at::Tensor& images, const at::Tensor& matrices, bool bilinear, Fill fill, double value,
               at::Tensor& out) {
  const int64_t n = images.size(0), height = images.size(1), width = images.size(2), channels = images.size(3);
  const int64_t each = height * width * channels, step = matrices.size(0) == 1 ? 0 : 8;
  const T* from = images.const_data_ptr<T>();
  const float* all = matrices.const_data_ptr<float>();
  T* to = out.data_ptr<T>();
  at::parallel_for(0, n * height, 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t i = row / height;
      const float* m = all + i * step;
      const Image<T> image{from + i * each, height, width, channels, static_cast<T>(value)};
      const auto y = static_cast<float>(row % height);
      for (int64_t column = 0; column < width; ++column) {
        const auto x = static_cast<float>(column);
        T* pixel = to + (row * width + column) * channels;
        const float depth = m[6] * x + m[7] * y + 1.0f;
        const float at_x = inside((m[0] * x + m[1] * y + m[2]) / depth, width, fill);
        const float at_y = inside((m[3] * x + m[4] * y + m[5]) / depth, height, fill);
        for (int64_t c = 0; c < channels; ++c) {
          if (depth == 0)
            pixel[c] = image.fill;
          else
            pixel[c] = bilinear ? image.bilinear(at_y, at_x, c) : image.at(std::round(at_y), std::round(at_x), c);
        }
      }
    }
  });
}

at::Tensor transformed(const at::Tensor& images, const at::Tensor& matrices, const std::string& interpolation,
                       const std::string& fill_mode, double fill_value) {
  TORCH_CHECK(images.dim() == 4 && matrices.dim() == 2 && matrices.size(1) == 8,
              "projective_transform: images of shape ", images.sizes(), " and matrices of shape ", matrices.sizes());
  TORCH_CHECK(matrices.size(0) == 1 || matrices.size(0) == images.size(0), "projective_transform: ", matrices.size(0),
              " matrices for ", images.size(0), " images");
  TORCH_CHECK(interpolation == "bilinear" || interpolation == "nearest", "projective_transform: unknown interpolation '",
              interpolation, "'");
  const bool wide = images.scalar_type() == at::kDouble;
  const at::Tensor x = images.detach().to(at::kCPU, wide ? at::kDouble : at::kFloat).contiguous();
  const at::Tensor m = matrices.detach().to(at::kCPU, at::kFloat).contiguous();
  at::Tensor out = at::empty_like(x);
  if (wide)
    transform<double>(x, m, interpolation == "bilinear", fill_of(fill_mode), fill_value, out);
  else
    transform<float>(x, m, interpolation == "bilinear", fill_of(fill_mode), fill_value, out);
  return out.to(images.options());
}

class Projective : public torch::autograd::Function<Projective> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& images,
                            const at::Tensor& matrices, std::string interpolation, std::string fill_mode,
                            double fill_value) {
    ctx->save_for_backward({matrices});
    ctx->saved_data["interpolation"] = interpolation;
    ctx->saved_data["fill_mode"] = fill_mode;
    return transformed(images, matrices, interpolation, fill_mode, fill_value);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const at::Tensor m = ctx->get_saved_variables()[0].to(at::kCPU, at::kFloat);
    const at::Tensor whole = at::cat({m, at::ones({m.size(0), 1})}, 1).view({-1, 3, 3});
    const at::Tensor inverse = at::linalg_inv(whole).reshape({-1, 9});
    const at::Tensor flat = (inverse / inverse.slice(1, 8, 9)).slice(1, 0, 8);
    at::Tensor out = transformed(grads[0], flat, ctx->saved_data["interpolation"].toStringRef(),
                                 ctx->saved_data["fill_mode"].toStringRef(), 0);
    return {out, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

void register_projective_ops(torch::Library& m, ShapeRules& rules) {
  m.def(
      "projective_transform(Tensor images, Tensor matrices, str interpolation, str fill_mode, float fill_value) -> "
      "Tensor",
      [](const at::Tensor& images, const at::Tensor& matrices, std::string_view interpolation,
         std::string_view fill_mode, double fill_value) {
        return at::Tensor(Projective::apply(images, matrices, std::string(interpolation), std::string(fill_mode), fill_value));
      });
  // Stops a run that midstream has no lowering for; what it is given comes back where the run does not get there.
  m.def("refused(Tensor x, str why) -> Tensor", [](const at::Tensor& x, std::string_view why) {
    TORCH_CHECK(false, why);
    return x;
  });
  for (const char* op : {"midstream::projective_transform", "midstream::refused"})
    rules.add(op, [](const std::vector<SampleArg>& a) {
      return std::vector<SampleOutput>{output(tensor(a[0]).dtype, tensor(a[0]).dims)};
    });
}

}  // namespace midstream
