// Layers that move, repeat, cut or pad values.
#include "lower/keras/layout.h"
#include "lower/math/resize.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Tensors unmasked(Value v) { return {{v, {}}}; }

// [before, after] for each of n axes, from 2, [2, 3] or [[1, 1], [2, 3]].
std::vector<std::pair<int64_t, int64_t>> pairs(const Layer& l, const std::string& key, size_t n) {
  std::vector<std::pair<int64_t, int64_t>> out;
  const json& entry = l.config.at(key);
  if (n == 1) {
    std::vector<int64_t> two = l.ints(key, 2);
    return {{two[0], two[1]}};
  }
  if (!entry.is_array()) return std::vector<std::pair<int64_t, int64_t>>(n, {l.integer(key), l.integer(key)});
  if (entry.size() != n)
    l.b.fail(ErrorKind::Mismatch,
             "config entry '" + key + "' is " + entry.dump() + ", " + std::to_string(n) + " entries wanted.");
  for (const json& item : entry) {
    if (item.is_number_integer())
      out.emplace_back(item.get<int64_t>(), item.get<int64_t>());
    else if (item.is_array() && item.size() == 2 && item[0].is_number_integer() && item[1].is_number_integer())
      out.emplace_back(item[0].get<int64_t>(), item[1].get<int64_t>());
    else
      l.b.fail(ErrorKind::Mismatch,
               "config entry '" + key + "' is " + entry.dump() + ", integers or pairs of them wanted.");
  }
  return out;
}

Tensors flatten(Layer& l, const Call& call) {
  l.expect_config({"data_format"});
  Value x = call.one().value;
  if (l.b.rank(x) == 1) return unmasked(l.b.unsqueeze(x, 1));
  if (layout_of(l) == math::Layout::ChannelsFirst) {  // the channels go last first
    std::vector<int64_t> perm{0};
    for (int64_t i = 2; i < l.b.rank(x); ++i) perm.push_back(i);
    perm.push_back(1);
    x = l.b.permute(x, perm);
  }
  return unmasked(l.b.call("aten::flatten.using_ints", {{"self", x}, {"start_dim", 1}}));
}

Tensors reshape(Layer& l, const Call& call) {
  l.expect_config({"target_shape"});
  Value x = call.one().value;
  Ints shape{l.b.size(x, 0)};
  for (const json& size : l.config.at("target_shape")) {
    if (!size.is_number_integer() && !size.is_null())
      l.b.fail(ErrorKind::Mismatch,
               "config entry 'target_shape' is " + l.config.at("target_shape").dump() + ", integers wanted.");
    shape.push_back(size.is_null() ? int64_t{-1} : size.get<int64_t>());
  }
  return unmasked(l.b.reshape(x, shape));
}

Tensors permute(Layer& l, const Call& call) {
  l.expect_config({"dims"});
  std::vector<int64_t> perm{0}, dims = l.ints("dims");
  perm.insert(perm.end(), dims.begin(), dims.end());
  expect_rank(l, call.one().value, static_cast<int64_t>(perm.size()));
  return unmasked(l.b.permute(call.one().value, perm));
}

Tensors repeat_vector(Layer& l, const Call& call) {
  l.expect_config({"n"});
  Value x = call.one().value;
  expect_rank(l, x, 2);
  return unmasked(l.b.expand(l.b.unsqueeze(x, 1), {l.b.size(x, 0), l.integer("n"), l.b.size(x, 1)}));
}

LayerFn zero_padding(size_t spatial) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"padding", "data_format"});
    Value x = call.one().value;
    expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
    const auto pads = pairs(l, "padding", spatial);
    Ints last_first;
    if (layout_of(l) == math::Layout::ChannelsLast) last_first = {0, 0};
    for (auto p = pads.rbegin(); p != pads.rend(); ++p)
      last_first.insert(last_first.end(), {Int(p->first), Int(p->second)});
    return unmasked(l.b.pad(x, last_first));
  };
}

LayerFn cropping(size_t spatial) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"cropping", "data_format"});
    Value x = call.one().value;
    expect_rank(l, x, static_cast<int64_t>(spatial) + 2);
    int64_t axis = spatial == 1 ? 1 : first_spatial(layout_of(l));
    for (auto [before, after] : pairs(l, "cropping", spatial)) {
      const int64_t size = l.b.dims(x)[static_cast<size_t>(axis)];
      if (size != kUnknown && before + after >= size)
        l.b.fail(ErrorKind::Mismatch, "it crops " + std::to_string(before) + " and " + std::to_string(after) +
                                          " of an axis that has " + std::to_string(size) + ".");
      if (before != 0 || after != 0) x = l.b.slice(x, axis, before, l.b.size(x, axis) - after);
      ++axis;
    }
    return unmasked(x);
  };
}

Tensors up_sampling1d(Layer& l, const Call& call) {
  l.expect_config({"size"});
  expect_rank(l, call.one().value, 3);
  return unmasked(math::repeat(l.b, call.one().value, 1, l.integer("size", 2)));
}

// Nearest, by whole factors. aten finds the source pixel through a float32 quotient, which is exact up to these
// factors.
Value nearest(Builder& b, Value x_nchw, const std::vector<int64_t>& size) {
  constexpr int64_t kExact = 32;
  if (size[0] > kExact || size[1] > kExact) return math::repeat(b, math::repeat(b, x_nchw, 2, size[0]), 3, size[1]);
  return math::resize(b, x_nchw, {b.size(x_nchw, 2) * size[0], b.size(x_nchw, 3) * size[1]},
                      math::Interpolation::Nearest);
}

Tensors up_sampling2d(Layer& l, const Call& call) {
  l.expect_config({"size", "data_format", "interpolation"});
  Value x = call.one().value;
  expect_rank(l, x, 4);
  const math::Layout layout = layout_of(l);
  const std::vector<int64_t> size = l.ints("size", 2);
  const math::Interpolation how = math::parse_interpolation(l.b, l.text("interpolation", "nearest"));
  Value x_nchw = math::to_channels_first(l.b, x, layout), y_nchw;
  if (how == math::Interpolation::Nearest)
    y_nchw = nearest(l.b, x_nchw, size);
  else
    y_nchw = math::resize(l.b, x_nchw, {l.b.size(x_nchw, 2) * size[0], l.b.size(x_nchw, 3) * size[1]}, how);
  return unmasked(math::from_channels_first(l.b, y_nchw, layout));
}

Tensors up_sampling3d(Layer& l, const Call& call) {
  l.expect_config({"size", "data_format"});
  Value x = call.one().value;
  expect_rank(l, x, 5);
  int64_t axis = first_spatial(layout_of(l));
  for (int64_t times : l.ints("size", 3)) x = math::repeat(l.b, x, axis++, times);
  return unmasked(x);
}

}  // namespace

void register_reshaping(Registry& r) {
  for (size_t n = 1; n <= 3; ++n) {
    r.layer("Cropping" + std::to_string(n) + "D", cropping(n));
    r.layer("ZeroPadding" + std::to_string(n) + "D", zero_padding(n));
  }
  r.layer("Flatten", flatten);
  r.layer("Permute", permute);
  r.layer("RepeatVector", repeat_vector);
  r.layer("Reshape", reshape);
  r.layer("UpSampling1D", up_sampling1d);
  r.layer("UpSampling2D", up_sampling2d);
  r.layer("UpSampling3D", up_sampling3d);
}

}  // namespace midstream::keras
