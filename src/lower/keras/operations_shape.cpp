// keras.ops in functional models that move elements about: reshape, transpose, joining, padding.
#include <fmt/format.h>

#include <algorithm>

#include "lower/keras/host.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

int64_t axis_of(Layer& l, Value v, int64_t otherwise = 0) {
  const int64_t axis = l.integer("axis", otherwise);
  return axis < 0 ? axis + l.b.rank(v) : axis;
}

Tensors reshape(Layer& l, const Call& call) {
  l.expect_config({"newshape"});
  const Value x = operand(l, call, 0, "x");
  const Ints shape = int_list(l, call, 1, "newshape");
  if (const std::vector<Int>* sizes = l.host().sizes_of(x); sizes && shape.size() <= 1)
    return one(size_tensor(l, *sizes, static_cast<int64_t>(shape.size())));
  return one(l.b.reshape(x, shape));
}

Tensors ravel(Layer& l, const Call& call) { return one(l.b.reshape(call.one().value, {Int(-1)})); }

Tensors transpose(Layer& l, const Call& call) {
  l.expect_config({"axes"});
  const Value x = operand(l, call, 0, "x");
  std::vector<int64_t> axes;
  for (const Int& axis : int_list(l, call, 1, "axes")) axes.push_back(math::axis_of(l.b, x, axis.constant()));
  if (axes.empty())
    for (int64_t i = l.b.rank(x); i-- > 0;) axes.push_back(i);
  return one(l.b.permute(x, axes));
}

Tensors swapaxes(Layer& l, const Call& call) {
  l.expect_config({"axis1", "axis2"});
  return one(l.b.call("aten::transpose.int",
                      {{"self", call.one().value}, {"dim0", l.integer("axis1")}, {"dim1", l.integer("axis2")}}));
}

Value move_axes(Builder& b, Value x, std::vector<int64_t> from, std::vector<int64_t> to) {
  const int64_t rank = b.rank(x);
  std::vector<std::pair<int64_t, int64_t>> moves;
  for (size_t i = 0; i < from.size(); ++i)
    moves.emplace_back(math::axis_of(b, x, to.at(i)), math::axis_of(b, x, from[i]));
  std::sort(moves.begin(), moves.end());
  std::vector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i)
    if (std::none_of(moves.begin(), moves.end(), [&](const auto& m) { return m.second == i; })) perm.push_back(i);
  for (const auto& [destination, source] : moves) perm.insert(perm.begin() + destination, source);
  return b.permute(x, perm);
}

Tensors moveaxis(Layer& l, const Call& call) {
  l.expect_config({"source", "destination"});
  return one(move_axes(l.b, call.one().value, l.ints("source"), l.ints("destination")));
}

Tensors expand_dims(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Value v = operand(l, call, 0, "x");
  std::vector<int64_t> axes = l.has("axis") ? l.ints("axis") : std::vector<int64_t>{};
  if (axes.empty())
    for (const Int& axis : int_list(l, call, 1, "axis")) axes.push_back(axis.constant());
  if (const std::vector<Int>* sizes = l.host().sizes_of(v); sizes && l.b.rank(v) == 0 && axes.size() == 1)
    return one(size_tensor(l, *sizes, 1));
  // Positions in the result.
  for (int64_t& axis : axes) axis = axis < 0 ? axis + l.b.rank(v) + static_cast<int64_t>(axes.size()) : axis;
  std::sort(axes.begin(), axes.end());
  for (int64_t axis : axes) v = l.b.unsqueeze(v, axis);
  return one(v);
}

Tensors squeeze(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Value v = call.one().value;
  std::vector<int64_t> axes;
  for (int64_t axis : axes_of(l, v))
    if (l.has("axis") && !l.ints("axis").empty() ? true : b.dims(v)[static_cast<size_t>(axis)] == 1) axes.push_back(axis);
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    // Of an axis whose size is unknown Keras knows here that it is 1.
    const bool unknown = b.dims(v)[static_cast<size_t>(*axis)] == kUnknown;
    v = unknown ? b.select(v, *axis, 0) : b.squeeze(v, *axis);
  }
  return one(v);
}

// Lists of sizes are put together as such.
std::optional<Ints> all_sizes(Layer& l, const Call& call) {
  Ints out;
  auto it = call.lists.find("0");
  if (it == call.lists.end()) return std::nullopt;
  bool any = false;
  for (const ListItem& item : it->second) {
    if (item.tensor.value) {
      const std::vector<Int>* sizes = l.host().sizes_of(item.tensor.value);
      if (!sizes) return std::nullopt;
      out.insert(out.end(), sizes->begin(), sizes->end());
      any = true;
    } else {
      const json list = item.data.is_array() ? item.data : json::array({item.data});
      for (const json& number : list) {
        if (!number.is_number_integer()) return std::nullopt;
        out.push_back(number.get<int64_t>());
      }
    }
  }
  return any ? std::optional(out) : std::nullopt;
}

Tensors concatenate(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  if (auto sizes = all_sizes(l, call)) return one(size_tensor(l, *sizes, 1));
  const Values parts = operand_list(l, call, 0, "xs");
  return one(l.b.concat(parts, axis_of(l, parts.at(0))));
}

Tensors stack(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  if (auto sizes = all_sizes(l, call)) return one(size_tensor(l, *sizes, 1));
  return one(l.b.stack(operand_list(l, call, 0, "x"), l.integer("axis")));
}

// Of vectors along their only axis, else along `axis`.
LayerFn stack_along(int64_t axis, int64_t least_rank) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    Values parts = operand_list(l, call, 0, "xs");
    for (Value& v : parts) {
      if (least_rank == 3 && l.b.rank(v) == 1) v = l.b.unsqueeze(v, 0);
      while (l.b.rank(v) < least_rank) v = l.b.unsqueeze(v, least_rank == 3 ? l.b.rank(v) : 0);
    }
    return one(l.b.concat(parts, l.b.rank(parts.at(0)) == 1 ? 0 : axis));
  };
}

Tensors append(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Pair p = operands(l, call, "x1", "x2");
  if (!l.has("axis")) return one(b.concat({b.reshape(p.x, {Int(-1)}), b.reshape(p.y, {Int(-1)})}, 0));
  return one(b.concat({p.x, p.y}, axis_of(l, p.x)));
}

Tensors pieces(Builder& b, Value v, int64_t axis, const Ints& edges) {
  Tensors out;
  for (size_t i = 0; i + 1 < edges.size(); ++i) out.push_back({b.slice(v, axis, edges[i], edges[i + 1]), {}});
  return out;
}

Ints equal_edges(Builder& b, Value v, int64_t axis, int64_t n) {
  Ints edges{0};
  const Int part = floor_div(b.size(v, axis), n);
  for (int64_t i = 1; i < n; ++i) edges.push_back(part * i);
  edges.push_back(b.size(v, axis));
  return edges;
}

Tensors split_at(Layer& l, Value v, int64_t axis) {
  if (l.config.at("indices_or_sections").is_number_integer())
    return pieces(l.b, v, axis, equal_edges(l.b, v, axis, l.integer("indices_or_sections")));
  Ints edges{0};
  for (int64_t i : l.ints("indices_or_sections")) edges.push_back(i);
  edges.push_back(l.b.size(v, axis));
  return pieces(l.b, v, axis, edges);
}

Tensors split(Layer& l, const Call& call) {
  l.expect_config({"indices_or_sections", "axis"});
  return split_at(l, call.one().value, axis_of(l, call.one().value));
}

LayerFn split_along(int64_t axis) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"indices_or_sections"});
    const Value x = call.one().value;
    return split_at(l, x, axis == 1 && l.b.rank(x) == 1 ? 0 : axis);
  };
}

// The first n % parts pieces have one element more.
Tensors array_split(Layer& l, const Call& call) {
  l.expect_config({"indices_or_sections", "axis"});
  const Value x = call.one().value;
  const int64_t axis = axis_of(l, x), n = l.b.dims(x)[static_cast<size_t>(axis)];
  if (!l.config.at("indices_or_sections").is_number_integer()) return split_at(l, x, axis);
  if (n == kUnknown) l.b.fail(ErrorKind::Unsupported, "array_split along an axis of unknown size has no lowering.");
  const int64_t parts = l.integer("indices_or_sections");
  Ints edges{0};
  for (int64_t i = 0; i < parts; ++i) edges.push_back(edges.back().constant() + n / parts + (i < n % parts ? 1 : 0));
  return pieces(l.b, x, axis, edges);
}

// tf.split: a number of parts, or their sizes, of which one may be -1: the rest.
Tensors tensorflow_split(Layer& l, const Call& call) {
  l.expect_config({"axis", "num"});
  Builder& b = l.b;
  const Value x = call.one().value;
  const int64_t axis = axis_of(l, x);
  if (const json* parts = data_of(call, 1, "num_or_size_splits"); parts && parts->is_number_integer())
    return pieces(b, x, axis, equal_edges(b, x, axis, parts->get<int64_t>()));
  Ints sizes = int_list(l, call, 1, "num_or_size_splits");
  const auto is_rest = [](const Int& i) { return i.is_constant() && i.constant() == -1; };
  Int rest = b.size(x, axis);
  for (const Int& i : sizes)
    if (!is_rest(i)) rest = rest - i;
  Ints edges{0};
  for (const Int& i : sizes) edges.push_back(edges.back() + (is_rest(i) ? rest : i));
  return pieces(b, x, axis, edges);
}

Tensors unstack(Layer& l, const Call& call) {
  l.expect_config({"num", "axis"});
  const Value x = call.one().value;
  const int64_t axis = axis_of(l, x), n = l.has("num") ? l.integer("num") : l.b.dims(x)[static_cast<size_t>(axis)];
  if (const std::vector<Int>* sizes = l.host().sizes_of(x)) {
    Tensors out;
    for (const Int& i : *sizes) out.push_back({size_tensor(l, {i}, 0), {}});
    return out;
  }
  if (n == kUnknown) l.b.fail(ErrorKind::Unsupported, "unstacking an axis of unknown size has no lowering.");
  Tensors out;
  for (int64_t i = 0; i < n; ++i) out.push_back({l.b.select(x, axis, i), {}});
  return out;
}

Tensors tile(Layer& l, const Call& call) {
  l.expect_config({"repeats"});
  const Value x = operand(l, call, 0, "x");
  Ints times = int_list(l, call, 1, "repeats");
  while (static_cast<int64_t>(times.size()) < l.b.rank(x)) times.insert(times.begin(), Int(1));
  return one(l.b.call("aten::repeat", {{"self", x}, {"repeats", times}}));
}

Tensors repeat(Layer& l, const Call& call) {
  l.expect_config({"repeats", "axis"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  if (!l.has("axis")) x = b.reshape(x, {Int(-1)});
  const int64_t axis = l.has("axis") ? math::axis_of(b, x, l.integer("axis")) : 0;
  const Ints times = int_list(l, call, 1, "repeats");
  if (times.size() == 1)
    return one(b.call("aten::repeat_interleave.self_int", {{"self", x}, {"repeats", times[0]}, {"dim", axis}}));
  std::vector<int64_t> rows;
  for (size_t i = 0; i < times.size(); ++i)
    rows.insert(rows.end(), static_cast<size_t>(times[i].constant()), static_cast<int64_t>(i));
  const auto n = static_cast<int64_t>(rows.size());
  Value index = b.constant(Array::of(DType::Int64, {n}, std::move(rows)));
  return one(b.call("aten::index_select", {{"self", x}, {"dim", axis}, {"index", index}}));
}

// Positions after which an axis continues as its mirror image; `edge`: the last element is repeated.
Value mirror(Builder& b, Value x, int64_t axis, const Int& before, const Int& after, bool edge) {
  const Int n = b.size(x, axis), skip = edge ? 0 : 1;
  Values parts;
  const auto is_none = [](const Int& i) { return i.is_constant() && i.constant() == 0; };
  if (!is_none(before)) parts.push_back(b.flip(b.slice(x, axis, skip, skip + before), {axis}));
  parts.push_back(x);
  if (!is_none(after)) parts.push_back(b.flip(b.slice(x, axis, n - skip - after, n - skip), {axis}));
  return b.concat(parts, axis);
}

// tf.pad and ops.pad. Pairs, or one number or pair for all axes.
Tensors pad(Layer& l, const Call& call) {
  l.expect_config({"pad_width", "mode"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  const auto rank = static_cast<size_t>(b.rank(x));
  const Ints given = int_list(l, call, 1, "pad_width");
  Ints pairs = given;
  if (given.size() == 1) pairs.assign(2 * rank, given[0]);
  if (given.size() == 2)
    for (size_t i = 1; i < rank; ++i) pairs.insert(pairs.end(), given.begin(), given.end());
  if (pairs.size() != 2 * rank)
    b.fail(ErrorKind::Mismatch, fmt::format("{} numbers pad a tensor of rank {}.", given.size(), rank));
  std::string mode = l.text("mode", "constant");
  std::transform(mode.begin(), mode.end(), mode.begin(), [](unsigned char c) { return std::tolower(c); });
  if (mode == "reflect" || mode == "symmetric") {
    for (size_t i = 0; i < rank; ++i)
      x = mirror(b, x, static_cast<int64_t>(i), pairs[2 * i], pairs[2 * i + 1], mode == "symmetric");
    return one(x);
  }
  if (mode != "constant") b.fail(ErrorKind::Unsupported, fmt::format("padding mode '{}' has no lowering.", mode));
  const json* value = data_of(call, 2, "constant_values");
  const auto literal = value ? literal_of(*value) : std::nullopt;
  if ((value && !(literal && literal->value.is_number())) || (!value && is_given(call, 2, "constant_values")))
    b.fail(ErrorKind::Unsupported, "padding with what is no number has no lowering.");
  Ints last_first;
  for (size_t i = rank; i-- > 0;) last_first.insert(last_first.end(), {pairs[2 * i], pairs[2 * i + 1]});
  return one(b.pad(x, last_first, literal ? literal->value.get<double>() : 0));
}

Tensors broadcast_to(Layer& l, const Call& call) {
  l.expect_config({"shape"});
  return one(l.b.expand(operand(l, call, 0, "x"), int_list(l, call, 1, "shape")));
}

Tensors flip(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  const Value x = call.one().value;
  std::vector<int64_t> axes;
  for (const Int& axis : int_list(l, call, 1, "axis")) axes.push_back(math::axis_of(l.b, x, axis.constant()));
  return one(l.b.flip(x, l.has("axis") || !axes.empty() ? axes : axes_of(l, x)));
}

LayerFn flip_axis(int64_t axis) {
  return [=](Layer& l, const Call& call) -> Tensors { return one(l.b.flip(call.one().value, {axis})); };
}

Tensors roll(Layer& l, const Call& call) {
  l.expect_config({"shift", "axis"});
  Builder& b = l.b;
  const Value x = call.one().value;
  const Ints shifts = int_list(l, call, 1, "shift");
  if (l.has("axis")) {
    std::vector<int64_t> axes = l.ints("axis");
    return one(b.call("aten::roll", {{"self", x}, {"shifts", shifts}, {"dims", Dims(axes)}}));
  }
  Value flat = b.call("aten::roll", {{"self", b.reshape(x, {Int(-1)})}, {"shifts", shifts}, {"dims", Dims{0}}});
  return one(b.reshape(flat, b.sizes(x)));
}

Tensors rot90(Layer& l, const Call& call) {
  l.expect_config({"k", "axes"});
  const std::vector<int64_t> axes = l.has("axes") ? l.ints("axes") : std::vector<int64_t>{0, 1};
  Builder& b = l.b;
  const Value x = call.one().value;
  const int64_t k = ((l.integer("k", 1) % 4) + 4) % 4;
  const auto turned = [&](Value v) {
    return b.call("aten::transpose.int", {{"self", v}, {"dim0", axes.at(0)}, {"dim1", axes.at(1)}});
  };
  if (k == 0) return one(x);
  if (k == 1) return one(turned(b.flip(x, {axes.at(1)})));
  return one(k == 2 ? b.flip(x, axes) : b.flip(turned(x), {axes.at(1)}));
}

}  // namespace

void register_operations_shape(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("Append", append);
  add("ArraySplit", array_split);
  add("BroadcastTo", broadcast_to);
  add("Concatenate", concatenate);
  add("Dsplit", split_along(2));
  add("Dstack", stack_along(2, 3));
  add("ExpandDims", expand_dims);
  add("Flip", flip);
  add("Fliplr", flip_axis(1));
  add("Flipud", flip_axis(0));
  add("Hsplit", split_along(1));
  add("Hstack", stack_along(1, 1));
  add("Moveaxis", moveaxis);
  add("Pad", pad);
  add("Ravel", ravel);
  add("Repeat", repeat);
  add("Reshape", reshape);
  add("Roll", roll);
  add("Rot90", rot90);
  add("Split", split);
  add("Squeeze", squeeze);
  add("Stack", stack);
  add("Swapaxes", swapaxes);
  add("Tile", tile);
  add("Transpose", transpose);
  add("Unstack", unstack);
  add("Vsplit", split_along(0));
  add("Vstack", stack_along(0, 2));
  auto add_tf = [&r](const char* name, LayerFn fn) { register_tensorflow_operation(r, name, std::move(fn)); };
  add_tf("split", tensorflow_split);
}

}  // namespace midstream::keras
