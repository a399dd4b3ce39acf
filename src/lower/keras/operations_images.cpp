// keras.ops.image: transforms by matrices, filters, colour spaces; and rearrange.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// A single image is a batch of one; channels last.
using OfImages = Value (*)(Layer&, const Call&, Value);
LayerFn images(OfImages f) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Builder& b = l.b;
    Value x = operand(l, call, 0, "images");
    const bool single = b.rank(x) == 3, first = layout_of(l) == math::Layout::ChannelsFirst;
    if (single) x = b.unsqueeze(x, 0);
    if (first) x = b.permute(x, {0, 2, 3, 1});
    Value y = f(l, call, x);
    if (first) y = b.permute(y, b.rank(y) == 5 ? std::vector<int64_t>{0, 3, 1, 2, 4} : std::vector<int64_t>{0, 3, 1, 2});
    return one(single ? b.squeeze(y, 0) : y);
  };
}

// --- filters

// One kernel [height, width] on every channel.
Value filtered(Builder& b, Value x_nhwc, Value kernel, math::Padding padding) {
  const Ints size = b.sizes(kernel);
  const Int n = b.size(x_nhwc, 0), c = b.size(x_nhwc, 3);
  Value x = b.permute(x_nhwc, {0, 3, 1, 2});
  const Int height = b.size(x, 2), width = b.size(x, 3);
  math::ConvSpec spec{.strides = {1, 1}, .dilations = {1, 1}, .padding = padding, .explicit_padding = {}};
  Value y = math::conv(b, b.reshape(x, {n * c, Int(1), height, width}), b.reshape(kernel, {size[0], size[1], 1, 1}), {}, spec);
  return b.permute(b.reshape(y, {n, c, b.size(y, 2), b.size(y, 3)}), {0, 2, 3, 1});
}

std::vector<double> bell(int64_t size, double sigma) {
  std::vector<double> out;
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) {
    const double x = (static_cast<double>(i) - static_cast<double>(size - 1) / 2) / sigma;
    out.push_back(std::exp(-0.5 * x * x));
    sum += out.back();
  }
  for (double& v : out) v /= sum;
  return out;
}

// [rows, columns]
Value outer(Builder& b, const std::vector<double>& rows, const std::vector<double>& columns, DType dtype) {
  json kernel = json::array();
  for (double r : rows) {
    kernel.push_back(json::array());
    for (double c : columns) kernel.back().push_back(r * c);
  }
  return constant_of(b, kernel, dtype);
}

Value gaussian_blur(Layer& l, const Call&, Value x) {
  l.expect_config({"kernel_size", "sigma", "data_format"});
  const std::vector<int64_t> size = l.has("kernel_size") ? l.ints("kernel_size") : std::vector<int64_t>{3, 3};
  const json sigma = l.has("sigma") ? l.config.at("sigma") : json::array({1.0, 1.0});
  if (size.size() != 2 || !sigma.is_array() || sigma.size() != 2 || size[0] != size[1])
    l.b.fail(ErrorKind::Unsupported, "gaussian_blur takes two equal sizes and two sigmas here.");
  Value kernel = outer(l.b, bell(size[1], sigma[1].get<double>()), bell(size[0], sigma[0].get<double>()), l.b.dtype(x));
  return filtered(l.b, x, kernel, math::Padding::Same);
}

// By one pixel on every side, mirrored without the edge.
Value mirrored(Builder& b, Value x, int64_t axis) {
  const Int n = b.size(x, axis);
  return b.concat({b.slice(x, axis, 1, 2), x, b.slice(x, axis, n - 2, n - 1)}, axis);
}

Value sobel_edges(Layer& l, const Call&, Value x) {
  l.expect_config({"data_format"});
  Builder& b = l.b;
  x = mirrored(b, mirrored(b, x, 1), 2);
  Value down = outer(b, {-1, 0, 1}, {1, 2, 1}, b.dtype(x)), right = outer(b, {1, 2, 1}, {-1, 0, 1}, b.dtype(x));
  return b.stack({filtered(b, x, down, math::Padding::Valid), filtered(b, x, right, math::Padding::Valid)}, -1);
}

Tensors ssim(Layer& l, const Call& call) {
  l.expect_config({"max_val", "filter_size", "filter_sigma", "k1", "k2", "data_format"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "image1", "image2");
  const DType own = b.dtype(p.x);
  const bool single = b.rank(p.x) == 3, first = layout_of(l) == math::Layout::ChannelsFirst;
  const auto batch = [&](Value v) {
    v = as_float(b, v);
    if (single) v = b.unsqueeze(v, 0);
    return first ? b.permute(v, {0, 2, 3, 1}) : v;
  };
  Value x = batch(p.x), y = batch(p.y);
  const std::vector<double> weights = bell(l.integer("filter_size", 11), l.number("filter_sigma", 1.5));
  Value kernel = outer(b, weights, weights, b.dtype(x));
  const auto blurred = [&](Value v) { return filtered(b, v, kernel, math::Padding::Valid); };
  const double c1 = std::pow(l.number("k1", 0.01) * l.number("max_val", 1), 2);
  const double c2 = std::pow(l.number("k2", 0.03) * l.number("max_val", 1), 2);
  Value mx = blurred(x), my = blurred(y), mx2 = b.square(mx), my2 = b.square(my), mxy = b.mul(mx, my);
  Value vx = b.sub(blurred(b.square(x)), mx2), vy = b.sub(blurred(b.square(y)), my2);
  Value covariance = b.sub(blurred(b.mul(x, y)), mxy);
  Value above = b.mul(b.add(b.mul(mxy, 2.0), c1), b.add(b.mul(covariance, 2.0), c2));
  Value below = b.mul(b.add(b.add(mx2, my2), c1), b.add(b.add(vx, vy), c2));
  Value out = b.mean(b.mean(b.div(above, below), {1, 2}), {-1});
  return one(b.cast(single ? b.squeeze(out, 0) : out, own));
}

// --- colours

Value channel(Builder& b, Value x, int64_t i) { return b.select(x, -1, i); }

Value rgb_to_hsv(Layer& l, const Call&, Value x) {
  l.expect_config({"data_format"});
  Builder& b = l.b;
  Value red = channel(b, x, 0), green = channel(b, x, 1), blue = channel(b, x, 2);
  Value most = b.amax(x, {-1}), least = b.call("aten::amin", {{"self", x}, {"dim", Dims{-1}}});
  Value range = b.sub(most, least);
  Value saturation = b.where(b.compare("gt", most, 0.0), b.div(range, most), b.zeros_like(most));
  Value norm = b.div(b.full({}, 1.0 / 6, b.dtype(x)), range);
  const auto hue_at = [&](Value u, Value v, double offset) { return b.add(b.mul(norm, b.sub(u, v)), offset); };
  Value hue = b.where(b.compare("eq", most, green), hue_at(blue, red, 2.0 / 6), hue_at(red, green, 4.0 / 6));
  hue = b.where(b.compare("eq", most, red), hue_at(green, blue, 0), hue);
  hue = b.where(b.compare("gt", range, 0.0), hue, b.zeros_like(hue));
  hue = b.where(b.compare("lt", hue, 0.0), b.add(hue, 1.0), hue);
  return b.stack({hue, saturation, most}, -1);
}

// TensorFlow has no gradient for it, and neither has this.
Value hsv_to_rgb(Layer& l, const Call&, Value x) {
  l.expect_config({"data_format"});
  Builder& b = l.b;
  x = b.unary("aten::detach", x);
  Value hue = b.mul(channel(b, x, 0), 6.0), saturation = channel(b, x, 1), value = channel(b, x, 2);
  Value red = b.clamp(b.sub(b.abs(b.sub(hue, 3.0)), 1.0), 0.0, 1.0);
  Value green = b.clamp(b.rsub(2, b.abs(b.sub(hue, 2.0))), 0.0, 1.0);
  Value blue = b.clamp(b.rsub(2, b.abs(b.sub(hue, 4.0))), 0.0, 1.0);
  const auto mixed = [&](Value c) {
    return b.mul(b.add(b.rsub(1, saturation), b.mul(saturation, c)), value);
  };
  return b.stack({mixed(red), mixed(green), mixed(blue)}, -1);
}

// --- by coordinates

Value resampling_kernel(Builder& b, Value x, const std::string& method) {
  if (method == "linear" || method == "bilinear" || method == "trilinear" || method == "triangle")
    return math::maximum(b, b.rsub(1, b.abs(x)), 0.0);
  if (method == "cubic" || method == "bicubic" || method == "tricubic") {
    Value near = b.add(b.mul(b.mul(b.sub(b.mul(x, 1.5), 2.5), x), x), 1.0);
    Value far = b.add(b.mul(b.sub(b.mul(b.add(b.mul(x, -0.5), 2.5), x), 4.0), x), 2.0);
    Value out = b.where(b.compare("ge", x, 1.0), far, near);
    return b.where(b.compare("ge", x, 2.0), b.zeros_like(x), out);
  }
  if (method != "lanczos3" && method != "lanczos5")
    b.fail(ErrorKind::Unsupported, fmt::format("method '{}' has no lowering.", method));
  const double radius = method == "lanczos3" ? 3 : 5;
  const auto sine = [&](double by) { return b.unary("aten::sin", b.mul(x, by)); };
  Value y = b.mul(b.mul(sine(M_PI), radius), sine(M_PI / radius));
  Value safe = b.where(b.compare("ne", x, 0.0), b.mul(b.square(x), M_PI * M_PI), b.ones_like(x));
  Value out = b.where(b.compare("gt", x, 1e-3), b.div(y, safe), b.ones_like(x));
  return b.where(b.compare("gt", x, radius), b.zeros_like(x), out);
}

Tensors scale_and_translate(Layer& l, const Call& call) {
  l.expect_config({"spatial_dims", "method", "antialias"});
  Builder& b = l.b;
  const Value images = operand(l, call, 0, "images");
  const Ints shape = int_list(l, call, 1, "output_shape");
  Value scale = operand(l, call, 2, "scale"), translation = operand(l, call, 3, "translation");
  const DType dtype = promoted(b.dtype(scale), b.dtype(translation));
  Value out = as_float(b, images);
  const std::vector<int64_t> axes = l.ints("spatial_dims");
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t axis = axes[i] < 0 ? axes[i] + b.rank(out) : axes[i], at = static_cast<int64_t>(i);
    Value s = b.select(b.cast(scale, dtype), 0, at), t = b.select(b.cast(translation, dtype), 0, at);
    const Int from = b.size(out, axis), to = shape.at(static_cast<size_t>(axis));
    const auto steps = [&](const Int& n) { return b.call("aten::arange", {{"end", n}, {"dtype", dtype}}); };
    Value inverse = b.div(b.ones_like(s), s);
    Value sample = b.sub(b.sub(b.mul(b.add(steps(to), 0.5), inverse), b.mul(t, inverse)), 0.5);
    Value distance = b.abs(b.sub(b.unsqueeze(sample, 0), b.unsqueeze(steps(from), 1)));
    if (l.flag("antialias", true)) distance = b.div(distance, math::maximum(b, inverse, 1.0));
    Value w = resampling_kernel(b, distance, l.text("method"));
    Value sum = b.sum(w, {0}, true), none = b.constant(0, dtype);
    Value safe = b.where(b.compare("ne", sum, 0.0), sum, b.constant(1, dtype));
    w = b.where(b.compare("gt", b.abs(sum), 1000 * 1.1920928955078125e-07), b.div(w, safe), none);
    Value end = b.sub(b.cast(b.tensor_of(from), dtype), 0.5);
    Value inside = b.logical_and(b.compare("ge", sample, -0.5), b.compare("le", sample, end));
    w = b.cast(b.where(b.unsqueeze(inside, 0), w, none), b.dtype(out));
    out = b.call("aten::tensordot", {{"self", out}, {"other", w}, {"dims_self", Dims{axis}}, {"dims_other", Dims{0}}});
    out = b.call("aten::movedim.int", {{"self", out}, {"source", -1}, {"destination", axis}});
  }
  if (!is_floating(b.dtype(images))) {
    Value low = as_float(b, b.unary("aten::amin", images)), high = as_float(b, b.amax(images, {}));
    out = b.cast(math::maximum(b, math::minimum(b, b.unary("aten::round", out), high), low), b.dtype(images));
  }
  return one(out);
}

// --- rearrange

using Axes = std::vector<std::vector<std::string>>;

// "b (h w) c" as groups of names.
Axes groups_of(Layer& l, const std::string& text) {
  Axes out;
  bool inside = false;
  std::string name;
  const auto close_name = [&] {
    if (name.empty()) return;
    if (inside)
      out.back().push_back(name);
    else
      out.push_back({name});
    name.clear();
  };
  for (const char c : text + " ") {
    if (c == '(' && !inside) {
      close_name();
      inside = true;
      out.emplace_back();
    } else if (c == ')' && inside) {
      close_name();
      inside = false;
    } else if (std::isspace(static_cast<unsigned char>(c))) {
      close_name();
    } else if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') {
      name += c;
    } else {
      l.b.fail(ErrorKind::Unsupported, "the pattern '" + text + "' has signs other than names and parentheses.");
    }
  }
  return out;
}

Tensors rearrange(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "tensor");
  const json* given = data_of(call, 1, "pattern");
  if (!given || !given->is_string()) b.fail(ErrorKind::Mismatch, "the pattern is no text.");
  const std::string pattern = given->get<std::string>();
  const size_t arrow = pattern.find("->");
  if (arrow == std::string::npos) b.fail(ErrorKind::Mismatch, "the pattern '" + pattern + "' has no '->'.");
  const Axes from = groups_of(l, pattern.substr(0, arrow)), to = groups_of(l, pattern.substr(arrow + 2));
  if (static_cast<int64_t>(from.size()) != b.rank(x))
    b.fail(ErrorKind::Mismatch, fmt::format("the pattern '{}' has {} axes on the left, the tensor {}.", pattern,
                                            from.size(), b.rank(x)));
  std::map<std::string, Int> size;
  std::vector<std::string> names;
  Ints taken_apart;
  for (size_t i = 0; i < from.size(); ++i) {
    Int left = b.size(x, static_cast<int64_t>(i));
    std::string unknown;
    for (const std::string& name : from[i]) {
      const json* n = from[i].size() > 1 ? data_of(call, 99, name) : nullptr;
      if (n && n->is_number_integer()) {
        size[name] = n->get<int64_t>();
        left = floor_div(left, n->get<int64_t>());
      } else if (!unknown.empty()) {
        b.fail(ErrorKind::Mismatch, fmt::format("the sizes of '{}' and '{}' are both unknown.", unknown, name));
      } else {
        unknown = name;
      }
    }
    if (!unknown.empty()) size[unknown] = left;
    for (const std::string& name : from[i]) {
      names.push_back(name);
      taken_apart.push_back(size.at(name));
    }
  }
  std::vector<int64_t> perm;
  Ints together;
  for (const auto& group : to) {
    Int n = 1;
    for (const std::string& name : group) {
      const auto it = std::find(names.begin(), names.end(), name);
      if (it == names.end()) b.fail(ErrorKind::Mismatch, fmt::format("axis '{}' is on the right of '{}' alone.", name, pattern));
      perm.push_back(it - names.begin());
      n = n * size.at(name);
    }
    together.push_back(n);
  }
  if (perm.size() != names.size())
    b.fail(ErrorKind::Mismatch, fmt::format("the pattern '{}' loses or repeats an axis.", pattern));
  if (taken_apart.size() != from.size()) x = b.reshape(x, taken_apart);
  x = b.permute(x, perm);
  return one(together.size() != perm.size() ? b.reshape(x, together) : x);
}

}  // namespace

void register_operations_images(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("GaussianBlur", images(gaussian_blur));
  add("HSVToRGB", images(hsv_to_rgb));
  add("RGBToHSV", images(rgb_to_hsv));
  add("Rearrange", rearrange);
  add("SSIM", ssim);
  add("ScaleAndTranslate", scale_and_translate);
  add("SobelEdges", images(sobel_edges));
}

}  // namespace midstream::keras
