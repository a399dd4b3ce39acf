// Images: resizing in TensorFlow's three conventions, and blocks of pixels traded for channels or batch.
#include "lower/math/layout.h"
#include "lower/math/resize.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"
#include "lower/tensorflow/layout.h"

namespace midstream::tensorflow {
namespace {

// Where output pixel i lies in the input, as float32: TensorFlow computes it so for every image type.
Value positions(Builder& b, const Int& from, const Int& to, bool align_corners, bool half_pixel) {
  auto number = [&](const Int& i) { return b.cast(b.tensor_of(i), DType::Float32); };
  Value scale = align_corners ? b.div(number(from - 1), number(max(to - 1, 1))) : b.div(number(from), number(to));
  Value i = b.call("aten::arange", {{"end", to}, {"dtype", DType::Float32}});
  if (half_pixel) return b.sub(b.mul(b.add(i, 0.5), scale), 0.5);
  return b.mul(i, scale);
}

Value at_most(Builder& b, Value index, const Int& last) {
  return b.call("aten::clamp", {{"self", index}, {"min", 0}, {"max", last}});
}

Value pick(Builder& b, Value x, int64_t axis, Value index) {
  return b.call("aten::index_select", {{"self", x}, {"dim", axis}, {"index", index}});
}

void resize_nearest(Op& op) {
  op.expect_attrs({"align_corners", "half_pixel_centers"});
  Builder& b = op.b;
  Ints size = op.ints(1);
  const bool align = op.flag("align_corners"), half = op.flag("half_pixel_centers");
  Value x_nhwc = op.input(0);
  for (int64_t axis : {1, 2}) {
    const Int from = b.size(x_nhwc, axis), to = size.at(static_cast<size_t>(axis - 1));
    Value at = positions(b, from, to, align, false);
    if (half) {  // floor((i + 0.5) * scale)
      Value shifted = positions(b, from, to, align, true);
      at = b.add(shifted, 0.5);
    }
    Value index = b.cast(b.unary(align ? "aten::round" : "aten::floor", at), DType::Int64);
    x_nhwc = pick(b, x_nhwc, axis, at_most(b, index, from - 1));
  }
  op.output(x_nhwc);
}

// One axis: low + (high - low) * weight.
Value interpolate(Builder& b, Value x_nhwc, int64_t axis, const Int& to, bool align, bool half) {
  const Int from = b.size(x_nhwc, axis);
  Value at = positions(b, from, to, align, half), low = b.unary("aten::floor", at);
  Value weight = math::along_axis(b, b.sub(at, low), axis, 4);
  Value index = b.cast(low, DType::Int64);
  Value a = pick(b, x_nhwc, axis, at_most(b, index, from - 1));
  Value c = pick(b, x_nhwc, axis, at_most(b, b.add(index, 1.0), from - 1));
  return b.add(a, b.mul(b.sub(c, a), weight));
}

void resize_bilinear(Op& op) {
  op.expect_attrs({"align_corners", "half_pixel_centers"});
  Builder& b = op.b;
  Ints size = op.ints(1);
  const bool align = op.flag("align_corners"), half = op.flag("half_pixel_centers");
  Value x_nhwc = b.cast(op.input(0), DType::Float32);
  if (half && !align) {
    Value y_nchw = math::resize(b, b.permute(x_nhwc, {0, 3, 1, 2}), size, math::Interpolation::Bilinear);
    return op.output(b.permute(y_nchw, {0, 2, 3, 1}));
  }
  x_nhwc = interpolate(b, x_nhwc, 2, size.at(1), align, half);
  op.output(interpolate(b, x_nhwc, 1, size.at(0), align, half));
}

// --- blocks

// The image with its pixels in blocks: [n, h/s, s, w/s, s, c]; channels last.
void space_to_depth(Op& op) {
  op.expect_attrs({"block_size", "data_format"});
  Builder& b = op.b;
  const math::Layout layout = layout_of(op);
  const int64_t s = op.integer("block_size");
  Value x = math::from_channels_first(b, math::to_channels_first(b, op.input(0), layout), math::Layout::ChannelsLast);
  Ints d = b.sizes(x);
  x = b.reshape(x, {d[0], floor_div(d[1], s), Int(s), floor_div(d[2], s), Int(s), d[3]});
  x = b.permute(x, {0, 1, 3, 2, 4, 5});
  x = b.reshape(x, {d[0], floor_div(d[1], s), floor_div(d[2], s), d[3] * (s * s)});
  op.output(layout == math::Layout::ChannelsLast ? x : b.permute(x, {0, 3, 1, 2}));
}

void depth_to_space(Op& op) {
  op.expect_attrs({"block_size", "data_format"});
  Builder& b = op.b;
  const math::Layout layout = layout_of(op);
  const int64_t s = op.integer("block_size");
  Value x = math::from_channels_first(b, math::to_channels_first(b, op.input(0), layout), math::Layout::ChannelsLast);
  Ints d = b.sizes(x);
  const Int c = floor_div(d[3], s * s);
  x = b.reshape(x, {d[0], d[1], d[2], Int(s), Int(s), c});
  x = b.permute(x, {0, 1, 3, 2, 4, 5});
  x = b.reshape(x, {d[0], d[1] * s, d[2] * s, c});
  op.output(layout == math::Layout::ChannelsLast ? x : b.permute(x, {0, 3, 1, 2}));
}

// Pads, then moves every block's pixels into the batch: result batch is [block..., batch].
void space_to_batch(Op& op) {
  op.expect_attrs({"block_size"});
  Builder& b = op.b;
  std::vector<int64_t> block;
  size_t pads_at = 2;
  if (op.node.op == "SpaceToBatch")
    block = {op.integer("block_size"), op.integer("block_size")}, pads_at = 1;
  else
    block = known_ints(op, 1);
  const size_t m = block.size();
  Ints pads = flat_ints(op, pads_at), last_first;
  Value x = op.input(0);
  const size_t rank = static_cast<size_t>(b.rank(x));
  last_first.assign(2 * (rank - 1 - m), Int(0));
  for (size_t i = m; i-- > 0;) last_first.insert(last_first.end(), {pads[2 * i], pads[2 * i + 1]});
  x = b.pad(x, last_first);
  Ints d = b.sizes(x), split{d[0]}, merged{d[0]};
  std::vector<int64_t> perm, outer{0};
  for (size_t i = 0; i < m; ++i) {
    split.insert(split.end(), {floor_div(d[i + 1], block[i]), Int(block[i])});
    merged.push_back(floor_div(d[i + 1], block[i]));
    merged[0] = merged[0] * block[i];
    perm.push_back(static_cast<int64_t>(2 * i) + 2);
    outer.push_back(static_cast<int64_t>(2 * i) + 1);
  }
  perm.insert(perm.end(), outer.begin(), outer.end());
  for (size_t i = m + 1; i < rank; ++i) {
    split.push_back(d[i]);
    merged.push_back(d[i]);
    perm.push_back(static_cast<int64_t>(i + m));
  }
  op.output(b.reshape(b.permute(b.reshape(x, split), perm), merged));
}

// The way back, cropped.
void batch_to_space(Op& op) {
  op.expect_attrs({"block_size"});
  Builder& b = op.b;
  std::vector<int64_t> block;
  size_t crops_at = 2;
  if (op.node.op == "BatchToSpace")
    block = {op.integer("block_size"), op.integer("block_size")}, crops_at = 1;
  else
    block = known_ints(op, 1);
  const size_t m = block.size();
  Ints crops = flat_ints(op, crops_at);
  Value x = op.input(0);
  const size_t rank = static_cast<size_t>(b.rank(x));
  Ints d = b.sizes(x), split, merged;
  int64_t all = 1;
  for (int64_t s : block) {
    split.emplace_back(s);
    all *= s;
  }
  const Int batch = floor_div(d[0], all);
  split.push_back(batch);
  merged.push_back(batch);
  split.insert(split.end(), d.begin() + 1, d.end());
  std::vector<int64_t> perm{static_cast<int64_t>(m)};
  for (size_t i = 0; i < m; ++i) {
    perm.insert(perm.end(), {static_cast<int64_t>(m + 1 + i), static_cast<int64_t>(i)});
    merged.push_back(d[i + 1] * block[i]);
  }
  for (size_t i = m + 1; i < rank; ++i) {
    perm.push_back(static_cast<int64_t>(i + m));
    merged.push_back(d[i]);
  }
  x = b.reshape(b.permute(b.reshape(x, split), perm), merged);
  for (size_t i = 0; i < m; ++i) {
    const int64_t dim = static_cast<int64_t>(i) + 1;
    const bool none = crops[2 * i].is_constant() && crops[2 * i].constant() == 0 && crops[2 * i + 1].is_constant() &&
                      crops[2 * i + 1].constant() == 0;
    if (!none) x = b.slice(x, dim, crops[2 * i], merged[i + 1] - crops[2 * i + 1]);
  }
  op.output(x);
}

// (x - mean over the pixels) * factor + mean, in float32.
void adjust_contrast(Op& op) {
  op.expect_attrs({});
  Value x = op.input(0);
  const int64_t rank = op.b.rank(x);
  Value mean = op.b.mean(x, {rank - 3, rank - 2}, true);
  op.output(op.b.add(op.b.mul(op.b.sub(x, mean), op.input(1)), mean));
}

}  // namespace

void register_image(Registry& r) {
  r.tf("ResizeNearestNeighbor", resize_nearest);
  r.tf("ResizeBilinear", resize_bilinear);
  r.tf("SpaceToDepth", space_to_depth);
  r.tf("DepthToSpace", depth_to_space);
  for (const char* name : {"SpaceToBatch", "SpaceToBatchND"}) r.tf(name, space_to_batch);
  for (const char* name : {"BatchToSpace", "BatchToSpaceND"}) r.tf(name, batch_to_space);
  r.tf("AdjustContrastv2", adjust_contrast);
}

}  // namespace midstream::tensorflow
