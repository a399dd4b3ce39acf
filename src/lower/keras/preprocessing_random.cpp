// Layers that change images at random in training and hand them on otherwise. With a seed in the file they follow Keras
// 3's streams draw for draw; those of tf_keras have no stream in a file and draw anew. What has no lowering in training
// predicts, and stops a run in training.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/math/random.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

struct Range {
  double low, high;
};

// A number means from its negative to itself.
Range range(const Layer& l, const char* key) {
  const json entry = l.config.value(key, json());
  if (entry.is_number()) {
    const double factor = std::abs(entry.get<double>());
    return {-factor, factor};
  }
  if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number() || !entry[1].is_number())
    l.b.fail(ErrorKind::Mismatch, std::string("config entry '") + key + "' is " + entry.dump() +
                                      ", a number or two of them wanted.");
  const double a = entry[0], c = entry[1];
  return {std::min(a, c), std::max(a, c)};
}

// What floatx was, the weights' dtype tells.
DType floatx(const Layer& l) { return l.variable_dtype() == DType::Float64 ? DType::Float64 : DType::Float32; }

// The next draw of the layer's stream.
Value uniform(Layer& l, const Ints& shape, Range r, DType dtype) {
  if (dtype != DType::Float64) r = {static_cast<float>(r.low), static_cast<float>(r.high)};
  double width = r.high - r.low;
  if (dtype != DType::Float64) width = static_cast<float>(width);
  Value seed = math::seed_of_keras(l.b, l.draw_seed("generator"));
  return l.b.add(l.b.mul(math::random_uniform(l.b, shape, seed, dtype), width), r.low);
}

struct Images {
  Value x;
  Int n, height, width;
  int64_t height_axis;
};

Images images_of(Layer& l, Value x) {
  const int64_t axis = first_spatial(layout_of(l));
  return {x, l.b.size(x, 0), l.b.size(x, axis), l.b.size(x, axis + 1), axis};
}

using Change = std::function<Value(Layer&, const Images&)>;

LayerFn random_layer(Change change) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"seed", "data_format", "bounding_box_format", "factor", "value_range", "mode", "height_factor",
                     "width_factor", "x_factor", "y_factor", "addition_factor", "threshold_factor", "fill_mode",
                     "fill_value", "interpolation"});
    Builder& b = l.b;
    Value x = b.cast(call.one().value, l.compute_dtype());
    expect_rank(l, x, 4);
    return {{b.cond(l.training(), [&] { return Values{change(l, images_of(l, x))}; }, [&] { return Values{x}; })[0], {}}};
  };
}

// --- places

Value flip(Layer& l, const Images& i) {
  Builder& b = l.b;
  const std::string mode = l.text("mode", "horizontal_and_vertical");
  auto draw = [&] { return b.compare("le", uniform(l, {i.n, 1, 1, 1}, {0, 1}, floatx(l)), 0.5); };
  Value chosen = draw(), y = i.x;
  if (mode.starts_with("horizontal")) y = b.where(chosen, b.flip(y, {i.height_axis + 1}), y);
  // tf_keras decides anew.
  if (mode == "horizontal_and_vertical" && !l.host().keras3) chosen = draw();
  if (mode.ends_with("vertical")) y = b.where(chosen, b.flip(y, {i.height_axis}), y);
  return y;
}

Value size(Builder& b, const Int& n, DType dtype) { return b.cast(b.tensor_of(n), dtype); }

// Pixel (x, y) of the result comes from (a x + b y + c, d x + e y + f): `rows` are a to f, [n] each.
Value moved(Layer& l, const Images& i, const Values& rows) {
  Builder& b = l.b;
  Values all;
  for (Value v : rows) all.push_back(b.cast(v, DType::Float32));
  for (int k = 0; k < 2; ++k) all.push_back(b.zeros_like(all[0]));
  const std::string fill = l.text("fill_mode", "reflect"), how = l.text("interpolation", "bilinear");
  const bool first = layout_of(l) == math::Layout::ChannelsFirst;
  Value y = b.call("midstream::projective_transform", {{"images", first ? b.permute(i.x, {0, 2, 3, 1}) : i.x},
                                                       {"matrices", b.stack(all, 1)},
                                                       {"interpolation", how},
                                                       {"fill_mode", fill},
                                                       {"fill_value", l.number("fill_value", 0)}});
  return first ? b.permute(y, {0, 3, 1, 2}) : y;
}

Value rotation(Layer& l, const Images& i) {
  Builder& b = l.b;
  const DType dtype = floatx(l);
  const Range r = range(l, "factor");
  Value degrees = uniform(l, {i.n}, {r.low * 360, r.high * 360}, dtype);
  Value angle = b.mul(degrees, static_cast<double>(static_cast<float>(std::numbers::pi / 180)));
  Value x = b.mul(b.sub(size(b, i.width, dtype), 1.0), 0.5), y = b.mul(b.sub(size(b, i.height, dtype), 1.0), 0.5);
  Value c = b.unary("aten::cos", angle), s = b.unary("aten::sin", angle), minus = b.neg(s);
  Value to_x = b.sub(b.sub(x, b.mul(x, c)), b.mul(y, minus));
  Value to_y = b.sub(b.sub(y, b.mul(x, s)), b.mul(y, c));
  return moved(l, i, {c, minus, to_x, s, c, to_y});
}

Value zoom(Layer& l, const Images& i) {
  Builder& b = l.b;
  auto draw = [&](const char* key) {
    const Range r = range(l, key);
    return b.cast(uniform(l, {i.n, 1}, {1 + r.low, 1 + r.high}, floatx(l)), DType::Float32);
  };
  Value high = draw("height_factor"), wide = l.has("width_factor") ? draw("width_factor") : high;
  high = b.reshape(high, {i.n});
  wide = b.reshape(wide, {i.n});
  auto offset = [&](const Int& n, Value by) {
    return b.mul(b.rsub(1.0, by), b.div(b.sub(size(b, n, DType::Float32), 1.0), 2.0));
  };
  Value none = b.zeros_like(high);
  return moved(l, i, {wide, none, offset(i.width, wide), none, high, offset(i.height, high)});
}

Value translation(Layer& l, const Images& i) {
  Builder& b = l.b;
  auto draw = [&](const char* key, const Int& n) {
    Value share = uniform(l, {i.n, 1}, range(l, key), floatx(l));
    return b.neg(b.reshape(b.mul(share, size(b, n, floatx(l))), {i.n}));
  };
  Value down = draw("height_factor", i.height), right = draw("width_factor", i.width);
  Value one = b.ones_like(down), none = b.zeros_like(down);
  return moved(l, i, {one, none, right, none, one, down});
}

Value shear(Layer& l, const Images& i) {
  Builder& b = l.b;
  const DType dtype = l.compute_dtype();
  auto draw = [&](Range r) { return b.reshape(uniform(l, {i.n, 1}, r, dtype), {i.n}); };
  Value inverted = b.compare("gt", draw({0, 1}), 0.5);
  Value y = draw(range(l, "y_factor")), x = draw(range(l, "x_factor"));
  y = b.where(inverted, b.neg(y), y);
  x = b.where(inverted, b.neg(x), x);
  Value one = b.ones_like(x), none = b.zeros_like(x);
  return moved(l, i, {one, x, none, y, one, none});
}

// --- colours

Range value_range(const Layer& l) { return l.has("value_range") ? range(l, "value_range") : Range{0, 255}; }

Value clipped(Layer& l, Value x) {
  const Range r = value_range(l);
  return l.b.clamp(x, r.low, r.high);
}

Value contrast(Layer& l, const Images& i) {
  Builder& b = l.b;
  const Range r = range(l, "factor");
  Value factor = uniform(l, {i.n, 1, 1, 1}, {1 - r.low, 1 + r.high}, l.compute_dtype());
  Value mean = b.mean(b.mean(i.x, {i.height_axis}, true), {i.height_axis + 1}, true);
  return clipped(l, b.add(b.mul(b.sub(i.x, mean), factor), mean));
}

Value brightness(Layer& l, const Images& i) {
  Builder& b = l.b;
  const Range r = value_range(l);
  Value delta = b.mul(uniform(l, {i.n, 1, 1, 1}, range(l, "factor"), floatx(l)), r.high - r.low);
  return clipped(l, b.add(i.x, b.cast(delta, b.dtype(i.x))));
}

// Whether each image is chosen: two draws, of a probability and of what decides.
Value chosen(Layer& l, const Images& i) {
  Value probability = uniform(l, {i.n}, range(l, "factor"), floatx(l));
  return l.b.reshape(l.b.compare("lt", uniform(l, {i.n}, {0, 1}, floatx(l)), probability), {i.n, 1, 1, 1});
}

Value invert(Layer& l, const Images& i) {
  Value apply = chosen(l, i);
  return l.b.where(apply, l.b.rsub(value_range(l).high, i.x), i.x);
}

// Between two ranges of values; the same range leaves the images as they are.
Value rescaled(Builder& b, Value x, Range from, Range to) {
  if (from.low == to.low && from.high == to.high) return x;
  return b.add(b.mul(b.div(b.sub(x, from.low), from.high - from.low), to.high - to.low), to.low);
}

Value solarization(Layer& l, const Images& i) {
  Builder& b = l.b;
  auto draw = [&](const char* key) {
    const Range r = range(l, key);
    return uniform(l, {i.n, 1, 1, 1}, {r.low, r.high * 255}, l.compute_dtype());
  };
  Value added = draw("addition_factor"), threshold = draw("threshold_factor");
  Value y = b.clamp(b.add(rescaled(b, i.x, value_range(l), {0, 255}), added), 0.0, 255.0);
  y = b.where(b.compare("lt", y, threshold), y, b.rsub(255.0, y));
  return rescaled(b, y, {0, 255}, value_range(l));
}

// --- what has no lowering in training

Tensors identity_in_inference(Layer& l, const Call& call) {
  Builder& b = l.b;
  Value x = call.one().value;
  if (is_floating(b.dtype(x))) x = b.cast(x, l.compute_dtype());
  const std::string why = "keras." + l.class_name + " (" + l.path +
                          ") has no lowering in training; predicting works. Take the layer out of the model, or change "
                          "the images before they come in.";
  auto stop = [&] { return Values{b.call("midstream::refused", {{"x", x}, {"why", why}})}; };
  return {{b.cond(l.training(), stop, [&] { return Values{x}; })[0], {}}};
}

// `fn` in files of Keras 3, where tf_keras does something else in training.
LayerFn keras3_only(LayerFn fn) {
  return [fn = std::move(fn)](Layer& l, const Call& call) {
    return l.host().keras3 ? fn(l, call) : identity_in_inference(l, call);
  };
}

}  // namespace

void register_preprocessing_random(Registry& r) {
  r.layer("RandomBrightness", keras3_only(random_layer(brightness)));
  r.layer("RandomContrast", keras3_only(random_layer(contrast)));
  r.layer("RandomFlip", random_layer(flip));
  r.layer("RandomInvert", random_layer(invert));
  r.layer("RandomRotation", random_layer(rotation));
  r.layer("RandomShear", random_layer(shear));
  r.layer("RandomTranslation", random_layer(translation));
  r.layer("RandomZoom", random_layer(zoom));
  r.layer("Solarization", random_layer(solarization));
  for (const char* name :
       {"AugMix", "CutMix", "MixUp", "RandAugment", "RandomColorDegeneration", "RandomColorJitter",
        "RandomElasticTransform", "RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomHeight", "RandomHue",
        "RandomPerspective", "RandomPosterization", "RandomSaturation", "RandomSharpness", "RandomWidth"})
    r.layer(name, identity_in_inference);
}

}  // namespace midstream::keras
