// TensorFlow's resize ops other than nearest compute and return float32, whatever comes in.
#include "lower/math/resize.h"

namespace midstream::math {
namespace {

struct Name {
  const char* name;
  Interpolation value;
};
constexpr Name kNames[] = {{"nearest", Interpolation::Nearest},   {"bilinear", Interpolation::Bilinear},
                           {"bicubic", Interpolation::Bicubic},   {"area", Interpolation::Area},
                           {"lanczos3", Interpolation::Lanczos3}, {"lanczos5", Interpolation::Lanczos5},
                           {"gaussian", Interpolation::Gaussian}, {"mitchellcubic", Interpolation::MitchellCubic}};

}  // namespace

Interpolation parse_interpolation(Builder& b, const std::string& name) {
  for (const Name& n : kNames)
    if (name == n.name) return n.value;
  b.fail(ErrorKind::Unsupported, "interpolation '" + name + "' is not one that TensorFlow has.");
}

Value repeat(Builder& b, Value x, int64_t axis, int64_t times) {
  if (times == 1) return x;
  return b.call("aten::repeat_interleave.self_int", {{"self", x}, {"repeats", times}, {"dim", axis}});
}

namespace {

// How many times each pixel stands there; 0 where that is no whole number, or unknown.
int64_t whole_factor(const Int& from, const Int& to) {
  if (!from.is_constant() || !to.is_constant() || from.constant() == 0) return 0;
  return to.constant() % from.constant() == 0 ? to.constant() / from.constant() : 0;
}

Value nearest(Builder& b, Value x_nchw, const Ints& size) {
  const DType dtype = b.dtype(x_nchw);
  // aten resizes no integers but bytes.
  if (!is_floating(dtype) && dtype != DType::UInt8) x_nchw = b.cast(x_nchw, DType::Float64);
  const bool whole = whole_factor(b.size(x_nchw, 2), size.at(0)) && whole_factor(b.size(x_nchw, 3), size.at(1));
  const char* op = whole ? "aten::upsample_nearest2d" : "aten::_upsample_nearest_exact2d";
  return b.cast(b.call(op, {{"self", x_nchw}, {"output_size", size}}), dtype);
}

}  // namespace

Value resize(Builder& b, Value x_nchw, const Ints& size, Interpolation interpolation, bool antialias) {
  if (interpolation == Interpolation::Nearest) return nearest(b, x_nchw, size);
  Value x = b.cast(x_nchw, DType::Float32);
  antialias = antialias && interpolation != Interpolation::Area;
  if (interpolation == Interpolation::Bilinear && !antialias)
    return b.call("aten::upsample_bilinear2d", {{"self", x}, {"output_size", size}, {"align_corners", false}});
  std::string method;
  for (const Name& n : kNames)
    if (n.value == interpolation) method = n.name;
  auto matrix = [&](int64_t dim, const Int& to) {
    return b.call("midstream::resize_matrix", {{"x", x}, {"dim", dim}, {"size", to}, {"method", method}, {"antialias", antialias}});
  };
  Value rows = matrix(2, size.at(0)), columns = matrix(3, size.at(1));
  return b.matmul(rows, b.matmul(x, b.permute(columns, {1, 0})));
}

}  // namespace midstream::math
