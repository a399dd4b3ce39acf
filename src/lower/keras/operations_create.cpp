// keras.ops and TensorFlow's functions that make tensors of shapes: tf.shape, zeros_like, tf.range.
#include <fmt/format.h>

#include <algorithm>

#include "lower/keras/host.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

Tensors shape(Layer& l, const Call& call) {
  l.expect_config({"out_type"});
  const DType dtype = parse_dtype(l.text("out_type", "int32")).value_or(DType::Int32);
  return one(size_tensor(l, l.b.sizes(call.one().value), 1, dtype));
}

Tensors size(Layer& l, const Call& call) {
  l.expect_config({"out_type"});
  Int n = 1;
  for (const Int& i : l.b.sizes(call.one().value)) n = n * i;
  return one(size_tensor(l, {n}, 0, parse_dtype(l.text("out_type", "int32")).value_or(DType::Int32)));
}

Tensors rank(Layer& l, const Call& call) { return one(size_tensor(l, {Int(l.b.rank(call.one().value))}, 0)); }

LayerFn like(double number) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"dtype", "shape"});
    Value x = operand(l, call, 0, "x");
    if (l.has("dtype")) x = l.b.cast(x, parse_dtype(l.text("dtype")).value_or(l.b.dtype(x)));
    return one(number == 0 ? l.b.zeros_like(x) : l.b.ones_like(x));
  };
}

Tensors full_like(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  Builder& b = l.b;
  const Value x = call.one().value;
  const DType dtype = l.has("dtype") ? parse_dtype(l.text("dtype")).value_or(b.dtype(x)) : b.dtype(x);
  const json* number = data_of(call, 1, "fill_value");
  if (number && number->is_number()) return one(b.full(b.sizes(x), number->get<double>(), dtype));
  return one(b.expand(b.cast(operand(l, call, 1, "fill_value", dtype), dtype), b.sizes(x)));
}

// tf.zeros and tf.ones of a shape in which sizes of tensors stand.
LayerFn filled(double number) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"dtype"});
    const DType dtype = parse_dtype(l.text("dtype", "float32")).value_or(DType::Float32);
    return one(l.b.full(int_list(l, call, 0, "shape"), number, dtype));
  };
}

Tensors fill(Layer& l, const Call& call) {
  l.expect_config({});
  const Ints shape = int_list(l, call, 0, "dims");
  return one(l.b.expand(operand(l, call, 1, "value"), shape));
}

Tensors eye(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  const DType dtype = parse_dtype(l.text("dtype", "float32")).value_or(DType::Float32);
  const Int n = int_list(l, call, 0, "num_rows").at(0);
  const Int m = is_given(call, 1, "num_columns") ? int_list(l, call, 1, "num_columns").at(0) : n;
  return one(l.b.call("aten::eye.m", {{"n", n}, {"m", m}, {"dtype", dtype}}));
}

// tf.range(limit), tf.range(start, limit, delta)
Tensors range(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  const bool two = is_given(call, 1, "limit");
  const auto number = [&](size_t position, const char* name) { return int_list(l, call, position, name).at(0); };
  const Int start = two ? number(0, "start") : Int(0), end = two ? number(1, "limit") : number(0, "start");
  const Int step = is_given(call, 2, "delta") ? number(2, "delta") : Int(1);
  const DType dtype = parse_dtype(l.text("dtype", "int32")).value_or(DType::Int32);
  return one(l.b.call("aten::arange.start_step", {{"start", start}, {"end", end}, {"step", step}, {"dtype", dtype}}));
}

// start + i * step, and exactly stop at the end.
Tensors linspace(Layer& l, const Call& call) {
  l.expect_config({"num", "endpoint", "retstep", "dtype", "axis"});
  Builder& b = l.b;
  if (l.flag("retstep")) b.fail(ErrorKind::Unsupported, "linspace that also returns its step has no lowering.");
  Pair p = operands(l, call, "start", "stop");
  DType dtype = float_dtype(b.dtype(p.x));
  if (l.has("dtype")) dtype = parse_dtype(l.text("dtype")).value_or(dtype);
  Value start = b.cast(p.x, dtype), stop = b.cast(p.y, dtype);
  const int64_t n = l.integer("num", 50), axis = l.integer("axis", 0);
  if (!l.flag("endpoint", true)) stop = b.sub(stop, b.div(b.sub(stop, start), static_cast<double>(n)));
  Values points{start};
  Value step = n > 1 ? b.div(b.sub(stop, start), static_cast<double>(n - 1)) : start;
  for (int64_t i = 1; i < n; ++i)
    points.push_back(i + 1 == n ? stop : b.add(start, b.mul(step, static_cast<double>(i))));
  return one(b.stack(points, axis));
}

Tensors meshgrid(Layer& l, const Call& call) {
  l.expect_config({"indexing"});
  Builder& b = l.b;
  Values axes;
  for (size_t i = 0; is_given(call, i, ""); ++i) axes.push_back(b.reshape(operand(l, call, i, ""), {Int(-1)}));
  const bool swapped = l.text("indexing", "xy") == "xy" && axes.size() > 1;
  Ints shape;
  for (Value v : axes) shape.push_back(b.size(v, 0));
  if (swapped) std::swap(shape[0], shape[1]);
  Tensors out;
  for (size_t i = 0; i < axes.size(); ++i) {
    Ints own(axes.size(), Int(1));
    const size_t at = swapped && i < 2 ? 1 - i : i;
    own[at] = shape[at];
    out.push_back({b.expand(b.reshape(axes[i], own), shape), {}});
  }
  return out;
}

}  // namespace

void register_operations_create(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("EmptyLike", like(0));
  add("FullLike", full_like);
  add("Linspace", linspace);
  add("Meshgrid", meshgrid);
  add("OnesLike", like(1));
  add("ZerosLike", like(0));
  auto add_tf = [&r](const char* name, LayerFn fn) { register_tensorflow_operation(r, name, std::move(fn)); };
  add_tf("eye", eye);
  add_tf("fill", fill);
  add_tf("ones", filled(1));
  add_tf("range", range);
  add_tf("rank", rank);
  add_tf("shape", shape);
  add_tf("size", size);
  add_tf("zeros", filled(0));
}

}  // namespace midstream::keras
