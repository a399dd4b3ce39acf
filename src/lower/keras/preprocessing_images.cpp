// Layers that bring images to a size: Resizing and CenterCrop.
#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/math/resize.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

struct Size {
  Int height, width;
};

Size size_of(Builder& b, Value x_nchw) { return {b.size(x_nchw, 2), b.size(x_nchw, 3)}; }

Value window(Builder& b, Value x_nchw, const Size& start, const Size& size) {
  x_nchw = b.slice(x_nchw, 2, start.height, start.height + size.height);
  return b.slice(x_nchw, 3, start.width, start.width + size.width);
}

// The largest window in the middle whose sides have the target's ratio. (The quotients are float32 in Keras; as whole
// numbers they are the same for all images below 2^24 pixels.)
Value crop_to_ratio(Builder& b, Value x_nchw, const Size& to) {
  const Size from = size_of(b, x_nchw);
  const Size kept{max(min(from.height, floor_div(from.width * to.height, to.width)), 1),
                  max(min(from.width, floor_div(from.height * to.width, to.height)), 1)};
  const Size start{floor_div(from.height - kept.height, 2), floor_div(from.width - kept.width, 2)};
  return window(b, x_nchw, start, kept);
}

Value pad_to_ratio(Builder& b, Value x_nchw, const Size& to, double fill) {
  const Size from = size_of(b, x_nchw);
  const Int rows = floor_div(max(from.height, floor_div(from.width * to.height, to.width)) - from.height, 2);
  const Int columns = floor_div(max(from.width, floor_div(from.height * to.width, to.height)) - from.width, 2);
  return b.pad(x_nchw, {columns, columns, rows, rows}, fill);
}

// Images of whole numbers come back as such: rounded and kept within the dtype's range.
Value as_before(Builder& b, Value resized, DType dtype) {
  if (is_floating(dtype)) return b.cast(resized, dtype);
  Value rounded = b.unary("aten::round", resized);
  if (dtype == DType::UInt8) rounded = b.clamp(rounded, 0.0, 255.0);
  if (dtype == DType::Int8) rounded = b.clamp(rounded, -128.0, 127.0);
  return b.cast(rounded, dtype);
}

Tensors resizing(Layer& l, const Call& call) {
  l.expect_config({"height", "width", "interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode",
                   "fill_value", "antialias", "data_format", "bounding_box_format"});
  Builder& b = l.b;
  Value x = call.one().value;
  expect_rank(l, x, 4);
  const bool keras3 = l.host().keras3;
  const math::Interpolation how = math::parse_interpolation(b, l.text("interpolation", "bilinear"));
  const Size to{l.integer("height"), l.integer("width")};
  if (l.text("fill_mode", "constant") != "constant")
    b.fail(ErrorKind::Unsupported, "fill_mode '" + l.text("fill_mode") + "' is none that Resizing has.");
  if (!keras3) x = b.cast(x, how == math::Interpolation::Nearest ? l.compute_dtype() : DType::Float32);
  const DType dtype = b.dtype(x);
  Value x_nchw = math::to_channels_first(b, x, layout_of(l));
  if (l.flag("crop_to_aspect_ratio")) x_nchw = crop_to_ratio(b, x_nchw, to);
  if (l.flag("pad_to_aspect_ratio")) x_nchw = pad_to_ratio(b, x_nchw, to, l.number("fill_value"));
  Value y_nchw = math::resize(b, x_nchw, {to.height, to.width}, how, l.flag("antialias"));
  y_nchw = as_before(b, y_nchw, keras3 ? dtype : l.compute_dtype());
  return {{math::from_channels_first(b, y_nchw, layout_of(l)), {}}};
}

Tensors center_crop(Layer& l, const Call& call) {
  l.expect_config({"height", "width", "data_format", "bounding_box_format"});
  Builder& b = l.b;
  Value x = b.cast(call.one().value, l.compute_dtype());
  expect_rank(l, x, 4);
  Value x_nchw = math::to_channels_first(b, x, layout_of(l));
  const Size from = size_of(b, x_nchw), to{l.integer("height"), l.integer("width")};
  if (!from.height.is_constant() || !from.width.is_constant())
    b.fail(ErrorKind::Unsupported, "it crops or resizes, which depends on the size of its input, and that is unknown.",
           "Give the Input a height and a width in Keras and save the model again.");
  const Int rows = from.height - to.height, columns = from.width - to.width;
  Value y_nchw;
  if (rows.constant() >= 0 && columns.constant() >= 0) {
    y_nchw = window(b, x_nchw, {floor_div(rows, 2), floor_div(columns, 2)}, to);
  } else {
    y_nchw = math::resize(b, crop_to_ratio(b, x_nchw, to), {to.height, to.width}, math::Interpolation::Bilinear);
    if (!l.host().keras3) y_nchw = b.cast(y_nchw, l.compute_dtype());
  }
  return {{math::from_channels_first(b, y_nchw, layout_of(l)), {}}};
}

}  // namespace

void register_preprocessing_images(Registry& r) {
  r.layer("CenterCrop", center_crop);
  r.layer("Resizing", resizing);
}

}  // namespace midstream::keras
