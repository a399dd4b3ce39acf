// keras.ops of neural networks and images: convolutions, pooling, normalization, attention, resizing.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/activations.h"
#include "lower/math/attention.h"
#include "lower/math/normalization.h"
#include "lower/math/pool.h"
#include "lower/math/resize.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

math::ConvSpec conv_spec(Layer& l, size_t spatial) {
  return {.strides = l.has("strides") ? l.ints("strides", spatial) : std::vector<int64_t>(spatial, 1),
          .dilations = l.has("dilation_rate") ? l.ints("dilation_rate", spatial) : std::vector<int64_t>(spatial, 1),
          .padding = padding_of(l),
          .explicit_padding = {}};
}

// The input, channels first, and the kernels.
struct Convolution {
  Value x_ncs, kernel, pointwise;
  math::Layout layout;
  math::ConvSpec spec;
};

Convolution read_conv(Layer& l, const Call& call, const char* kernel) {
  Builder& b = l.b;
  Convolution c;
  Value x = operand(l, call, 0, "inputs");
  c.kernel = b.cast(operand(l, call, 1, kernel, b.dtype(x)), b.dtype(x));
  c.pointwise = operand(l, call, 2, "pointwise_kernel", b.dtype(x));
  c.layout = layout_of(l);
  c.spec = conv_spec(l, static_cast<size_t>(b.rank(x) - 2));
  c.x_ncs = math::to_channels_first(b, x, c.layout);
  return c;
}

Tensors conv(Layer& l, const Call& call) {
  l.expect_config({"strides", "padding", "data_format", "dilation_rate"});
  const Convolution c = read_conv(l, call, "kernel");
  return one(math::from_channels_first(l.b, math::conv(l.b, c.x_ncs, c.kernel, {}, c.spec), c.layout));
}

Tensors depthwise_conv(Layer& l, const Call& call) {
  l.expect_config({"strides", "padding", "data_format", "dilation_rate"});
  const Convolution c = read_conv(l, call, "kernel");
  return one(math::from_channels_first(l.b, math::depthwise_conv(l.b, c.x_ncs, c.kernel, {}, c.spec), c.layout));
}

Tensors separable_conv(Layer& l, const Call& call) {
  l.expect_config({"strides", "padding", "data_format", "dilation_rate"});
  const Convolution c = read_conv(l, call, "depthwise_kernel");
  Value y = math::separable_conv(l.b, c.x_ncs, c.kernel, c.pointwise, {}, c.spec);
  return one(math::from_channels_first(l.b, y, c.layout));
}

using Pool = Value (*)(Builder&, Value, const math::PoolSpec&);

LayerFn pool(Pool f) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"pool_size", "strides", "padding", "data_format"});
    Value x = operand(l, call, 0, "inputs");
    const auto spatial = static_cast<size_t>(l.b.rank(x) - 2);
    math::PoolSpec spec{.window = l.ints("pool_size", spatial), .strides = {}, .padding = padding_of(l), .explicit_padding = {}};
    spec.strides = l.has("strides") ? l.ints("strides", spatial) : spec.window;
    const math::Layout layout = layout_of(l);
    return one(math::from_channels_first(l.b, f(l.b, math::to_channels_first(l.b, x, layout), spec), layout));
  };
}

// F.unfold and F.fold.
Args windows(Layer& l, Value x) {
  return {{"self", x},
          {"kernel_size", l.ints("kernel_size", 2)},
          {"dilation", l.has("dilation") ? l.ints("dilation", 2) : std::vector<int64_t>{1, 1}},
          {"padding", l.has("padding") ? l.ints("padding", 2) : std::vector<int64_t>{0, 0}},
          {"stride", l.has("stride") ? l.ints("stride", 2) : std::vector<int64_t>{1, 1}}};
}

Tensors unfold(Layer& l, const Call& call) {
  l.expect_config({"kernel_size", "dilation", "padding", "stride"});
  return one(l.b.call("aten::im2col", windows(l, operand(l, call, 0, "x"))));
}

// --- normalizations

Tensors batch_norm(Layer& l, const Call& call) {
  l.expect_config({"axis", "epsilon"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  const int64_t axis = math::axis_of(b, x, l.integer("axis", -1));
  const auto vector = [&](size_t position, const char* name) {
    Value v = operand(l, call, position, name, b.dtype(x));
    return v ? math::along_axis(b, b.cast(v, b.dtype(x)), axis, b.rank(x)) : v;
  };
  Value mean = vector(1, "mean"), variance = vector(2, "variance");
  Value offset = vector(3, "offset"), scale = vector(4, "scale");
  return one(math::normalize(b, x, mean, variance, scale, offset, l.number("epsilon", 1e-3)));
}

Tensors layer_norm(Layer& l, const Call& call) {
  l.expect_config({"axis", "epsilon", "rms_scaling"});
  Builder& b = l.b;
  if (l.flag("rms_scaling")) b.fail(ErrorKind::Unsupported, "layer_normalization with rms_scaling has no lowering.");
  Value x = operand(l, call, 0, "x");
  const std::vector<int64_t> axes = axes_of(l, x);
  Value gamma = operand(l, call, 1, "gamma", b.dtype(x)), beta = operand(l, call, 2, "beta", b.dtype(x));
  return one(math::layer_norm(b, x, axes, gamma, beta, l.number("epsilon", 1e-7)));
}

Tensors rms_norm(Layer& l, const Call& call) {
  l.expect_config({"axis", "epsilon"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  Value y = math::rms_norm(b, x, axes_of(l, x), l.number("epsilon", 1e-7));
  Value scale = operand(l, call, 1, "scale", b.dtype(x));
  return one(scale ? b.mul(y, b.cast(scale, b.dtype(x))) : y);
}

// tf.nn.bias_add
Tensors bias_add(Layer& l, const Call& call) {
  l.expect_config({"data_format"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "value");
  Value bias = b.cast(operand(l, call, 1, "bias", b.dtype(x)), b.dtype(x));
  const bool first = l.text("data_format").starts_with("NC");
  return one(math::bias_add(b, x, bias, first ? math::Layout::ChannelsFirst : math::Layout::ChannelsLast));
}

// [batch, length, heads, width]
Tensors attention(Layer& l, const Call& call) {
  l.expect_config({"is_causal", "flash_attention", "attn_logits_soft_cap"});
  Builder& b = l.b;
  if (l.has("attn_logits_soft_cap"))
    b.fail(ErrorKind::Unsupported, "dot_product_attention with attn_logits_soft_cap has no lowering.");
  for (const char* name : {"bias", "attn_logits_soft_cap"})
    if (is_given(call, name[0] == 'b' ? 3 : 8, name))
      b.fail(ErrorKind::Unsupported, fmt::format("dot_product_attention with '{}' has no lowering.", name));
  const auto heads_first = [&](Value v) { return b.permute(v, {0, 2, 1, 3}); };
  Value q = operand(l, call, 0, "query"), k = operand(l, call, 1, "key"), v = operand(l, call, 2, "value");
  const int64_t width = b.dims(q).back();
  const json* scale = data_of(call, 5, "scale");
  if (width == kUnknown && !scale) b.fail(ErrorKind::Unsupported, "a query of unknown width has no lowering.");
  math::Attention how;
  how.scale = scale ? scale->get<double>() : static_cast<double>(1 / std::sqrt(static_cast<float>(width)));
  how.mask = operand(l, call, 4, "mask");
  how.causal = l.flag("is_causal");
  if (how.causal && how.mask) {
    how.mask = b.logical_and(how.mask, math::causal_mask(b, b.size(q, 1), b.size(k, 1)));
    how.causal = false;
  }
  return one(heads_first(math::attention(b, heads_first(q), heads_first(k), heads_first(v), how)));
}

// --- losses, elementwise

Tensors binary_crossentropy(Layer& l, const Call& call) {
  l.expect_config({"from_logits"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "target", "output");
  if (l.flag("from_logits")) {
    Value positive = math::relu(b, p.y);
    Value soft = b.unary("aten::log1p", b.exp(b.neg(b.abs(p.y))));
    return one(b.add(b.sub(positive, b.mul(p.y, p.x)), soft));
  }
  const double epsilon = math::through_float32(b, p.y, 1e-7);
  Value y = b.clamp(p.y, epsilon, 1 - epsilon);
  Value bce = b.add(b.mul(p.x, b.log(y)), b.mul(b.rsub(1, p.x), b.log(b.rsub(1, y))));
  return one(b.neg(bce));
}

Tensors categorical_crossentropy(Layer& l, const Call& call) {
  l.expect_config({"from_logits", "axis"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "target", "output");
  const int64_t axis = math::axis_of(b, p.y, l.integer("axis", -1));
  if (l.flag("from_logits")) return one(b.neg(b.sum(b.mul(p.x, math::log_softmax(b, p.y, axis)), {axis})));
  Value y = b.div(p.y, b.sum(p.y, {axis}, true));
  return one(b.neg(b.sum(b.mul(p.x, b.log(b.clamp(y, 1e-7, 1 - 1e-7))), {axis})));
}

Tensors psnr(Layer& l, const Call& call) {
  l.expect_config({"max_val"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  Value error = b.mean(b.square(b.sub(p.x, p.y)), {});
  const auto tens = [&](Value v) { return b.unary("aten::log10", v); };
  return one(b.sub(b.mul(tens(b.constant(l.number("max_val"), b.dtype(p.x))), 20.0), b.mul(tens(error), 10.0)));
}

// The likeliest class of each step, repetitions as one and blanks left out; -1 behind the end.
Tensors ctc_decode(Layer& l, const Call& call) {
  l.expect_config({"strategy", "beam_width", "top_paths", "merge_repeated", "mask_index"});
  Builder& b = l.b;
  if (l.text("strategy", "greedy") != "greedy")
    b.fail(ErrorKind::Unsupported, "ctc_decode by beam search has no lowering; strategy='greedy' has one.");
  Value x = as_float(b, operand(l, call, 0, "inputs"));
  Value lengths = b.cast(operand(l, call, 1, "sequence_lengths"), DType::Int64);
  const Int n = b.size(x, 0), time = b.size(x, 1);
  const int64_t classes = b.dims(x).back(), blank = l.integer("mask_index");
  if (blank < 0 && classes == kUnknown) b.fail(ErrorKind::Unsupported, "its number of classes is unknown.");
  Value best = b.call("aten::argmax", {{"self", x}, {"dim", 2}}), score = b.amax(x, {2});
  Value steps = b.call("aten::arange", {{"end", time}, {"dtype", DType::Int64}});
  Value inside = b.compare("lt", steps, b.unsqueeze(lengths, 1));
  Value kept = b.logical_and(inside, b.compare("ne", best, static_cast<double>(blank < 0 ? blank + classes : blank)));
  if (l.flag("merge_repeated", true)) {
    Value before = b.concat({b.full({n, 1}, -1, DType::Int64), b.slice(best, 1, 0, time - 1)}, 1);
    kept = b.logical_and(kept, b.compare("ne", best, before));
  }
  // What is left out goes to one place more, which is cut off.
  Value place = b.sub(b.call("aten::cumsum", {{"self", b.cast(kept, DType::Int64)}, {"dim", 1}}), 1.0);
  place = b.where(kept, place, b.cast(b.tensor_of(time), DType::Int64));
  Value out = b.call("aten::scatter.src", {{"self", b.full({n, time + 1}, -1, DType::Int64)}, {"dim", 1}, {"index", place}, {"src", best}});
  out = b.cast(b.unsqueeze(b.slice(out, 1, 0, time), 0), DType::Int32);
  // TensorFlow has no gradient for it.
  Value sum = b.sum(b.where(inside, score, b.zeros_like(score)), {1}, true);
  return {{out, {}}, {b.unary("aten::detach", b.neg(sum)), {}}};
}

// --- images

bool channels_last(Layer& l) { return layout_of(l) == math::Layout::ChannelsLast; }

// A single image is a batch of one.
LayerFn of_images(Value (*f)(Layer&, const Call&, Value)) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Value x = operand(l, call, 0, "images");
    const bool single = l.b.rank(x) == 3;
    Value y = f(l, call, single ? l.b.unsqueeze(x, 0) : x);
    return one(single ? l.b.squeeze(y, 0) : y);
  };
}

Value resize(Layer& l, const Call& call, Value x) {
  l.expect_config({"size", "interpolation", "antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode",
                   "fill_value", "data_format"});
  Builder& b = l.b;
  for (const char* entry : {"antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio"})
    if (l.flag(entry)) b.fail(ErrorKind::Unsupported, fmt::format("resize with {} has no lowering.", entry));
  const math::Layout layout = layout_of(l);
  const DType own = b.dtype(x);
  Value y = math::resize(b, math::to_channels_first(b, x, layout), int_list(l, call, 1, "size"),
                         math::parse_interpolation(b, l.text("interpolation", "bilinear")));
  // Keras 3 returns what came in.
  if (l.host().keras3) y = b.cast(y, own);
  return math::from_channels_first(b, y, layout);
}

Value grayscale(Layer& l, const Call&, Value x) {
  l.expect_config({"data_format"});
  Builder& b = l.b;
  const int64_t axis = channels_last(l) ? 3 : 1;
  if (b.dims(x)[static_cast<size_t>(axis)] == 1) return x;
  const DType own = b.dtype(x);
  // TensorFlow computes in float32, and counts integers as parts of their largest number.
  const bool keras3 = l.host().keras3;
  if (!keras3 && !is_floating(own)) b.fail(ErrorKind::Unsupported, "tf.image.rgb_to_grayscale of integers has no lowering.");
  x = keras3 ? as_float(b, x) : b.cast(x, DType::Float32);
  Value weights = constant_of(b, json::array({0.2989, 0.5870, 0.1140}), b.dtype(x));
  Value y = b.sum(b.mul(x, math::along_axis(b, weights, axis, 4)), {axis}, true);
  return b.cast(y, own);
}

// Every patch in one pixel: a convolution with the unit matrix.
Value extract_patches(Layer& l, const Call&, Value x) {
  l.expect_config({"size", "strides", "dilation_rate", "padding", "data_format"});
  Builder& b = l.b;
  const std::vector<int64_t> size = l.ints("size", 2);
  const math::Layout layout = layout_of(l);
  const int64_t c = channels(l, x, layout), n = size[0] * size[1] * c;
  math::ConvSpec spec = conv_spec(l, 2);
  if (!l.has("strides")) spec.strides = size;
  Value unit = b.call("aten::eye", {{"n", n}, {"dtype", b.dtype(x)}});
  Value kernel = b.reshape(unit, {Int(size[0]), Int(size[1]), Int(c), Int(n)});
  return math::from_channels_first(b, math::conv(b, math::to_channels_first(b, x, layout), kernel, {}, spec), layout);
}

// What is before and after an axis; one of them may follow from the size wanted.
struct Margins {
  Int before, after;
};
Margins margins(Layer& l, const Int& size, const char* first, const char* last, const char* target, bool crop) {
  const auto other = [&](const char* known) {
    const Int whole = Int(l.integer(target)) + (crop ? Int(l.integer(known)) : Int(0) - l.integer(known));
    return crop ? size - whole : whole - size;
  };
  return {l.has(first) ? Int(l.integer(first)) : other(last), l.has(last) ? Int(l.integer(last)) : other(first)};
}

Value pad_images(Layer& l, const Call&, Value x) {
  l.expect_config({"top_padding", "left_padding", "bottom_padding", "right_padding", "target_height", "target_width",
                   "data_format"});
  Builder& b = l.b;
  const bool last = channels_last(l);
  const Margins rows = margins(l, b.size(x, last ? 1 : 2), "top_padding", "bottom_padding", "target_height", false);
  const Margins columns = margins(l, b.size(x, last ? 2 : 3), "left_padding", "right_padding", "target_width", false);
  Ints pads;
  if (last) pads = {0, 0};
  pads.insert(pads.end(), {columns.before, columns.after, rows.before, rows.after});
  return b.pad(x, pads);
}

Value crop_images(Layer& l, const Call&, Value x) {
  l.expect_config({"top_cropping", "left_cropping", "bottom_cropping", "right_cropping", "target_height",
                   "target_width", "data_format"});
  Builder& b = l.b;
  const int64_t first = channels_last(l) ? 1 : 2;
  const Margins rows = margins(l, b.size(x, first), "top_cropping", "bottom_cropping", "target_height", true);
  const Margins columns = margins(l, b.size(x, first + 1), "left_cropping", "right_cropping", "target_width", true);
  x = b.slice(x, first, rows.before, b.size(x, first) - rows.after);
  return b.slice(x, first + 1, columns.before, b.size(x, first + 1) - columns.after);
}

// Blocks of pixels traded for channels.
Value depth_to_space(Layer& l, const Call&, Value x) {
  l.expect_config({"block_size", "data_format"});
  Builder& b = l.b;
  const math::Layout layout = layout_of(l);
  const int64_t s = l.integer("block_size");
  x = math::from_channels_first(b, math::to_channels_first(b, x, layout), math::Layout::ChannelsLast);
  Ints d = b.sizes(x);
  const Int c = floor_div(d[3], s * s);
  x = b.permute(b.reshape(x, {d[0], d[1], d[2], Int(s), Int(s), c}), {0, 1, 3, 2, 4, 5});
  x = b.reshape(x, {d[0], d[1] * s, d[2] * s, c});
  return layout == math::Layout::ChannelsLast ? x : b.permute(x, {0, 3, 1, 2});
}

Value space_to_depth(Layer& l, const Call&, Value x) {
  l.expect_config({"block_size", "data_format"});
  Builder& b = l.b;
  const math::Layout layout = layout_of(l);
  const int64_t s = l.integer("block_size");
  x = math::from_channels_first(b, math::to_channels_first(b, x, layout), math::Layout::ChannelsLast);
  Ints d = b.sizes(x);
  x = b.reshape(x, {d[0], floor_div(d[1], s), Int(s), floor_div(d[2], s), Int(s), d[3]});
  x = b.reshape(b.permute(x, {0, 1, 3, 2, 4, 5}), {d[0], floor_div(d[1], s), floor_div(d[2], s), d[3] * (s * s)});
  return layout == math::Layout::ChannelsLast ? x : b.permute(x, {0, 3, 1, 2});
}

}  // namespace

void register_operations_nn(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("AveragePool", pool(math::average_pool));
  add("BatchNorm", batch_norm);
  add("BinaryCrossentropy", binary_crossentropy);
  add("CTCDecode", ctc_decode);
  add("CategoricalCrossentropy", categorical_crossentropy);
  add("Conv", conv);
  add("CropImages", of_images(crop_images));
  add("DepthToSpace", of_images(depth_to_space));
  add("DepthwiseConv", depthwise_conv);
  add("DotProductAttention", attention);
  add("ExtractPatches", of_images(extract_patches));
  add("LayerNorm", layer_norm);
  add("MaxPool", pool(math::max_pool));
  add("PSNR", psnr);
  add("PadImages", of_images(pad_images));
  add("RGBToGrayscale", of_images(grayscale));
  add("RMSNorm", rms_norm);
  add("Resize", of_images(resize));
  add("SeparableConv", separable_conv);
  add("SpaceToDepth", of_images(space_to_depth));
  add("Unfold", unfold);
  auto add_tf = [&r](const char* name, LayerFn fn) { register_tensorflow_operation(r, name, std::move(fn)); };
  add_tf("nn.bias_add", bias_add);
}

}  // namespace midstream::keras
