// keras.ops of NumPy's less common functions: elementwise, tests, sequences, and counts of a fixed length.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "lower/keras/host.h"
#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Function = Value (*)(Builder&, Value, Value);

LayerFn pair(Function f, bool of_floats = false) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    Pair p = operands(l, call, "x1", "x2");
    if (of_floats) p = {as_float(l.b, p.x), as_float(l.b, p.y)};
    return one(f(l.b, p.x, p.y));
  };
}

// --- elementwise

// The other one where one is NaN.
Value but_nan(Builder& b, Value x, Value y, Value result) {
  if (!is_floating(b.dtype(x))) return result;
  Value nan_x = b.unary("aten::isnan", x), nan_y = b.unary("aten::isnan", y);
  result = b.where(b.logical_and(nan_x, b.logical_not(nan_y)), y, result);
  return b.where(b.logical_and(nan_y, b.logical_not(nan_x)), x, result);
}
Value fmax(Builder& b, Value x, Value y) { return but_nan(b, x, y, math::maximum(b, x, y)); }
Value fmin(Builder& b, Value x, Value y) { return but_nan(b, x, y, math::minimum(b, x, y)); }

Value fmod(Builder& b, Value x, Value y) {
  if (b.dtype(x) == DType::Bool) x = b.cast(x, DType::Int32), y = b.cast(y, DType::Int32);
  Value rest = b.call("aten::remainder.Tensor", {{"self", b.abs(x)}, {"other", b.abs(y)}});
  return b.mul(b.unary("aten::sign", x), rest);
}

Value gcd(Builder& b, Value x, Value y) { return b.call("aten::gcd", {{"self", x}, {"other", y}}); }

Value lcm(Builder& b, Value x, Value y) {
  x = b.abs(x);
  y = b.abs(y);
  Value divisor = gcd(b, x, y), none = b.compare("eq", divisor, 0.0);
  Value safe = b.where(none, b.ones_like(divisor), divisor);
  Value parts = b.call("aten::div.Tensor_mode", {{"self", y}, {"other", safe}, {"rounding_mode", "floor"}});
  return b.where(none, b.zeros_like(divisor), b.mul(x, parts));
}

Value heaviside(Builder& b, Value x, Value y) {
  const DType dtype = b.dtype(x) == DType::Int64 ? DType::Float64 : float_dtype(b.dtype(x));
  x = b.cast(x, dtype);
  y = b.cast(y, dtype);
  Value step = b.where(b.compare("gt", x, 0.0), b.constant(1, dtype), y);
  return b.where(b.compare("lt", x, 0.0), b.constant(0, dtype), step);
}

Value logaddexp2(Builder& b, Value x, Value y) {
  Value delta = b.sub(x, y);
  const double log2 = b.dtype(x) == DType::Float64 ? static_cast<double>(std::log(2.0f)) : std::log(2.0);
  Value small = b.div(b.unary("aten::log1p", b.exp(b.mul(b.neg(b.abs(delta)), log2))), log2);
  return b.where(b.unary("aten::isnan", delta), b.add(x, y), b.add(math::maximum(b, x, y), small));
}

// Computed in float64; the gradient goes through to x, as TensorFlow's.
Value next_after(Builder& b, Value x, Value y) {
  const DType dtype = b.dtype(x);
  x = b.cast(x, DType::Float64);
  y = b.cast(y, DType::Float64);
  Value here = b.unary("aten::detach", x);
  Value next = b.call("aten::nextafter", {{"self", here}, {"other", b.unary("aten::detach", y)}});
  return b.cast(b.add(x, b.sub(next, here)), dtype);
}

Tensors ldexp(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x1"), exponent = operand(l, call, 1, "x2");
  const DType dtype = float_dtype(promoted(b.dtype(x), b.dtype(exponent)));
  x = b.cast(x, dtype);
  Value factor = b.call("aten::pow.Scalar", {{"self", 2.0}, {"exponent", b.cast(exponent, dtype)}});
  Value fixed = b.logical_or(b.unary("aten::isinf", x), b.compare("eq", x, 0.0));
  return one(b.where(fixed, x, b.mul(x, factor)));
}

Tensors sinc(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  Value x = as_float(b, operand(l, call, 0, "x")), pi_x = b.mul(x, std::numbers::pi);
  return one(b.where(b.compare("eq", x, 0.0), b.ones_like(x), b.div(b.unary("aten::sin", pi_x), pi_x)));
}

Tensors fabs(Layer& l, const Call& call) {
  l.expect_config({});
  return one(l.b.abs(as_float(l.b, operand(l, call, 0, "x"))));
}

// What is beyond the dtype's range becomes its end.
Tensors saturate_cast(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  const auto dtype = parse_dtype(l.text("dtype"));
  if (!dtype) b.fail(ErrorKind::Unsupported, fmt::format("dtype '{}' is not one that midstream knows.", l.text("dtype")));
  if (*dtype == b.dtype(x)) return one(x);
  if (b.dtype(x) == DType::Bool) return one(b.cast(x, *dtype));
  const bool wide = item_size(*dtype) >= 8 || (is_floating(*dtype) && item_size(*dtype) >= item_size(b.dtype(x)));
  if (is_integral(*dtype) && !wide) {
    const bool with_sign = *dtype == DType::Int8 || *dtype == DType::Int16 || *dtype == DType::Int32;
    const double values = std::exp2(8.0 * static_cast<double>(item_size(*dtype)));
    double high = with_sign ? values / 2 - 1 : values - 1;
    // The largest number of fewer bits below it.
    if (b.dtype(x) == DType::Float32 && item_size(*dtype) == 4) high = std::nextafter(static_cast<float>(high), 0.0f);
    return one(b.cast(b.clamp(x, with_sign ? -values / 2 : 0, high), *dtype));
  }
  if (!wide) b.fail(ErrorKind::Unsupported, fmt::format("saturate_cast to {} has no lowering.", to_string(*dtype)));
  return one(b.cast(x, *dtype));
}

// --- tests

Value close(Builder& b, Value x, Value y, double rtol, double atol) {
  Value bound = b.add(b.mul(b.abs(y), rtol), atol);
  return b.compare("le", b.abs(b.sub(x, y)), bound);
}
Value both_nan(Builder& b, const Pair& p) {
  return b.logical_and(b.unary("aten::isnan", p.x), b.unary("aten::isnan", p.y));
}

Tensors is_close(Layer& l, const Call& call) {
  l.expect_config({"equal_nan", "rtol", "atol"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  if (!is_floating(b.dtype(p.x))) return one(b.compare("eq", p.x, p.y));
  const auto number = [&](size_t position, const char* name, double otherwise) {
    const json* given = data_of(call, position, name);
    return given && given->is_number() ? given->get<double>() : l.number(name, otherwise);
  };
  Value out = close(b, p.x, p.y, number(2, "rtol", 1e-5), number(3, "atol", 1e-8));
  return one(l.flag("equal_nan") ? b.logical_or(out, both_nan(b, p)) : out);
}

Tensors all_close(Layer& l, const Call& call) {
  l.expect_config({"rtol", "atol", "equal_nan"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  Value out = b.compare("eq", p.x, p.y);
  if (is_floating(b.dtype(p.x))) {
    Value finite = b.logical_and(b.unary("aten::isfinite", p.x), b.unary("aten::isfinite", p.y));
    Value near = b.logical_and(finite, close(b, p.x, p.y, l.number("rtol", 1e-5), l.number("atol", 1e-8)));
    out = b.logical_or(near, out);
    if (l.flag("equal_nan")) out = b.logical_or(out, both_nan(b, p));
  }
  return one(b.unary("aten::all", out));
}

Tensors is_in(Layer& l, const Call& call) {
  l.expect_config({"assume_unique", "invert"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  Value same = b.compare("eq", b.unsqueeze(p.x, b.rank(p.x)), b.reshape(p.y, {Int(-1)}));
  Value found = b.call("aten::any.dim", {{"self", same}, {"dim", -1}});
  return one(l.flag("invert") ? b.logical_not(found) : found);
}

// The choice of the first condition that holds.
Tensors select(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  const Values conditions = operand_list(l, call, 0, "condlist");
  Values choices = operand_list(l, call, 1, "choicelist");
  const DType dtype = b.dtype(choices.at(0));
  Value out = operand(l, call, 2, "default", dtype);
  out = out ? b.cast(out, dtype) : b.constant(0, dtype);
  for (size_t i = conditions.size(); i-- > 0;) out = b.where(as_bool(b, conditions[i]), choices.at(i), out);
  return one(out);
}

// --- numbers of a shape

Tensors as_array(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  const Value x = operand(l, call, 0, "x");
  return one(l.b.cast(x, parse_dtype(l.text("dtype")).value_or(l.b.dtype(x))));
}

Tensors arange(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  Builder& b = l.b;
  const auto number = [&](size_t position, const char* name) { return int_list(l, call, position, name).at(0); };
  const bool two = is_given(call, 1, "stop") && !(data_of(call, 1, "stop") && data_of(call, 1, "stop")->is_null());
  for (size_t i = 0; i < 3; ++i)
    if (const Tensor t = call.arg(i, i == 0 ? "start" : i == 1 ? "stop" : "step"); t.value && is_floating(b.dtype(t.value)))
      b.fail(ErrorKind::Unsupported, "arange between tensors of floats has no lowering.");
  const Int start = two ? number(0, "start") : Int(0), end = two ? number(1, "stop") : number(0, "start");
  const Int step = is_given(call, 2, "step") ? number(2, "step") : Int(1);
  const DType dtype = parse_dtype(l.text("dtype", "int32")).value_or(DType::Int32);
  return one(b.call("aten::arange.start_step", {{"start", start}, {"end", end}, {"step", step}, {"dtype", dtype}}));
}

Tensors full(Layer& l, const Call& call) {
  l.expect_config({"shape", "dtype"});
  Value x = operand(l, call, 0, "fill_value");
  // Without a dtype: floatx, which the file does not say; a float's own is it.
  const auto dtype = parse_dtype(l.text("dtype"));
  x = dtype ? l.b.cast(x, *dtype) : as_float(l.b, x);
  return one(l.b.expand(x, int_list(l, call, 1, "shape")));
}

Tensors dimensions(Layer& l, const Call& call) {
  l.expect_config({});
  return one(size_tensor(l, {Int(l.b.rank(call.one().value))}, 0));
}

Tensors size(Layer& l, const Call& call) {
  l.expect_config({});
  Int n = 1;
  for (const Int& i : l.b.sizes(call.one().value)) n = n * i;
  return one(size_tensor(l, {n}, 0));
}

Value line(Builder& b, Value start, Value stop, int64_t n, bool endpoint, int64_t axis) {
  if (!endpoint) stop = b.sub(stop, b.div(b.sub(stop, start), static_cast<double>(n)));
  Values points{start};
  Value step = n > 1 ? b.div(b.sub(stop, start), static_cast<double>(n - 1)) : start;
  for (int64_t i = 1; i < n; ++i)
    points.push_back(i + 1 == n ? stop : b.add(start, b.mul(step, static_cast<double>(i))));
  return b.stack(points, axis);
}

Pair ends(Layer& l, const Call& call) {
  Pair p = operands(l, call, "start", "stop");
  const DType dtype = parse_dtype(l.text("dtype")).value_or(float_dtype(l.b.dtype(p.x)));
  return {l.b.cast(p.x, dtype), l.b.cast(p.y, dtype)};
}

Value powers_of(Builder& b, double base, Value exponent) {
  return b.call("aten::pow.Scalar", {{"self", base}, {"exponent", exponent}});
}

Tensors logspace(Layer& l, const Call& call) {
  l.expect_config({"num", "endpoint", "base", "dtype", "axis"});
  const Pair p = ends(l, call);
  Value at = line(l.b, p.x, p.y, l.integer("num", 50), l.flag("endpoint", true), l.integer("axis"));
  return one(powers_of(l.b, l.number("base", 10), at));
}

Tensors geomspace(Layer& l, const Call& call) {
  l.expect_config({"num", "endpoint", "dtype", "axis"});
  Builder& b = l.b;
  const Pair p = ends(l, call);
  Value ten = b.log(b.constant(10, b.dtype(p.x)));
  const auto exponent = [&](Value v) { return b.div(b.log(b.abs(v)), ten); };
  Value at = line(b, exponent(p.x), exponent(p.y), l.integer("num", 50), l.flag("endpoint", true), l.integer("axis"));
  return one(b.mul(powers_of(b, 10, at), b.unary("aten::sign", p.x)));
}

Tensors vander(Layer& l, const Call& call) {
  l.expect_config({"N", "increasing"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  const DType own = b.dtype(x);
  const Int n = l.has("N") ? Int(l.integer("N")) : b.size(x, 0);
  x = as_float(b, x);
  Value powers = b.call("aten::arange", {{"end", n}, {"dtype", b.dtype(x)}});
  if (!l.flag("increasing")) powers = b.flip(powers, {0});
  Value out = b.call("aten::pow.Tensor_Tensor", {{"self", b.unsqueeze(x, b.rank(x))}, {"exponent", powers}});
  return one(b.cast(out, own));
}

Tensors unravel_index(Layer& l, const Call& call) {
  l.expect_config({"shape"});
  Builder& b = l.b;
  Value rest = operand(l, call, 0, "indices");
  std::vector<int64_t> shape = l.ints("shape");
  // As Keras: from the last axis for a list of indices, from the first one for others.
  if (b.rank(rest) == 1) std::reverse(shape.begin(), shape.end());
  Tensors out;
  for (int64_t n : shape) {
    Value size = b.constant(static_cast<double>(n), b.dtype(rest));
    out.push_back({b.call("aten::remainder.Tensor", {{"self", rest}, {"other", size}}), {}});
    rest = b.call("aten::div.Tensor_mode", {{"self", rest}, {"other", size}, {"rounding_mode", "floor"}});
  }
  std::reverse(out.begin(), out.end());
  return out;
}

// The bits as another dtype; the last axis grows or shrinks with the size of an element.
Tensors view(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  Builder& b = l.b;
  const Value x = operand(l, call, 0, "x");
  const DType dtype = parse_dtype(l.text("dtype")).value_or(b.dtype(x));
  if (dtype == b.dtype(x)) return one(x);
  if (dtype == DType::Bool || b.dtype(x) == DType::Bool)
    b.fail(ErrorKind::Unsupported, "ops.view from or to bool has no lowering.");
  Value whole = b.call("aten::contiguous", {{"self", b.unary("aten::detach", x)}});
  return one(b.call("aten::view.dtype", {{"self", whole}, {"dtype", dtype}}));
}

// --- sums and products

Tensors trapezoid(Layer& l, const Call& call) {
  l.expect_config({"x", "dx", "axis"});
  Builder& b = l.b;
  Value y = as_float(b, operand(l, call, 0, "y"));
  const int64_t axis = math::axis_of(b, y, l.integer("axis", -1)), last = b.rank(y) - 1;
  const auto moved = [&](Value v) {
    return axis == last ? v : b.call("aten::movedim.int", {{"self", v}, {"source", axis}, {"destination", -1}});
  };
  const auto part = [&](Value v, int64_t along, bool later) {
    const Int n = b.size(v, along);
    return b.slice(v, along, later ? 1 : 0, later ? n : n - 1);
  };
  y = moved(y);
  Value heights = b.mul(b.add(part(y, last, true), part(y, last, false)), 0.5);
  if (!l.has("x")) return one(b.sum(b.mul(heights, l.number("dx", 1)), {-1}));
  const auto literal = literal_of(l.config.at("x"));
  if (!literal) b.fail(ErrorKind::Unsupported, "trapezoid over positions that are no numbers in the file has no lowering.");
  Value at = constant_of(b, literal->value, b.dtype(y));
  const int64_t along = b.rank(at) == 1 ? 0 : axis;
  Value widths = b.sub(part(at, along, true), part(at, along, false));
  return one(b.sum(b.mul(heights, b.rank(at) == 1 ? widths : moved(widths)), {-1}));
}

Tensors corrcoef(Layer& l, const Call& call) {
  l.expect_config({});
  Builder& b = l.b;
  Value x = as_float(b, operand(l, call, 0, "x"));
  Value centred = b.sub(x, b.mean(x, {-1}, true));
  Value samples = b.cast(b.tensor_of(b.size(x, b.rank(x) - 1) - 1), b.dtype(x));
  Value turned = b.call("aten::transpose.int", {{"self", centred}, {"dim0", -2}, {"dim1", -1}});
  Value covariance = b.div(b.matmul(centred, turned), samples);
  Value deviation = b.sqrt(b.call("aten::diagonal", {{"self", covariance}, {"dim1", -2}, {"dim2", -1}}));
  if (b.rank(x) != 2) b.fail(ErrorKind::Unsupported, "corrcoef of other than a matrix has no lowering.");
  Value outer = b.mul(b.unsqueeze(deviation, 1), deviation);
  return one(b.clamp(b.div(covariance, outer), -1.0, 1.0));
}

// [n] and [m]: the products at every offset.
Tensors correlate(Layer& l, const Call& call) {
  l.expect_config({"mode"});
  Builder& b = l.b;
  const Pair p = operands(l, call, "x1", "x2");
  const DType own = b.dtype(p.x), dtype = own == DType::Int64 ? DType::Float64 : float_dtype(own);
  Value x = b.cast(p.x, dtype), w = b.cast(p.y, dtype);
  const Int n = b.size(x, 0), m = b.size(w, 0);
  const std::string mode = l.text("mode", "valid");
  if (mode != "valid" && mode != "full" && mode != "same")
    b.fail(ErrorKind::Mismatch, fmt::format("mode '{}' is none that correlate has.", mode));
  if (mode != "valid") x = b.pad(x, {m - 1, m - 1});
  Value y = b.call("aten::conv1d", {{"input", b.reshape(x, {Int(1), Int(1), b.size(x, 0)})},
                                    {"weight", b.reshape(w, {Int(1), Int(1), m})}});
  y = b.squeeze(b.squeeze(y, 0), 0);
  if (mode != "same") return one(y);
  const Int length = max(n, m), start = floor_div(n + m - 1 - length, 2);
  return one(b.slice(y, 0, start, start + length));
}

Value kron(Builder& b, Value x, Value y) {
  while (b.rank(x) < b.rank(y)) x = b.unsqueeze(x, 0);
  while (b.rank(y) < b.rank(x)) y = b.unsqueeze(y, 0);
  Ints of_x, of_y, shape;
  for (int64_t i = 0; i < b.rank(x); ++i) {
    const Int n = b.size(x, i), m = b.size(y, i);
    of_x.insert(of_x.end(), {n, Int(1)});
    of_y.insert(of_y.end(), {Int(1), m});
    shape.push_back(n * m);
  }
  return b.reshape(b.mul(b.reshape(x, of_x), b.reshape(y, of_y)), shape);
}

Tensors diagflat(Layer& l, const Call& call) {
  l.expect_config({"k"});
  Value flat = l.b.reshape(operand(l, call, 0, "x"), {Int(-1)});
  return one(l.b.call("aten::diag_embed", {{"self", flat}, {"offset", l.integer("k")}}));
}

Value distances(Builder& b, Value x, Value y) {
  Value difference = b.sub(b.unsqueeze(x, b.rank(x) - 1), b.unsqueeze(y, b.rank(y) - 2));
  return b.sqrt(b.sum(b.square(difference), {-1}));
}

Tensors cdist(Layer& l, const Call& call) {
  l.expect_config({});
  const Pair p = operands(l, call, "x", "y");
  return one(distances(l.b, p.x, p.y));
}

// --- counts and orders

// The kth smallest first, then the others, as Keras: of integers, and those before are taken for zeros.
Tensors argpartition(Layer& l, const Call& call) {
  l.expect_config({"kth", "axis"});
  Builder& b = l.b;
  Value x = b.cast(operand(l, call, 0, "x"), DType::Int32);
  if (b.rank(x) != 1) b.fail(ErrorKind::Unsupported, "argpartition of other than a list of numbers has no lowering.");
  const auto highest = [&](Value v) {
    return b.call_all("aten::sort.stable", {{"self", v}, {"stable", true}, {"dim", 0}, {"descending", true}}).at(1);
  };
  const Int n = b.size(x, 0), kth = min(Int(l.integer("kth")), n - 1) + 1;
  Value first = b.slice(highest(b.neg(x)), 0, 0, kth);
  Value rest = b.call("aten::index_fill.int_Scalar", {{"self", x}, {"dim", 0}, {"index", first}, {"value", 0.0}});
  return one(b.cast(b.concat({first, b.slice(highest(rest), 0, 0, n - kth)}, 0), DType::Int32));
}

// --- segments

// Rows with the same id reduced to one. Rows with negative ids are dropped: they go to one row more, which is cut off.
LayerFn segments(const char* reduce) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"num_segments", "sorted"});
    Builder& b = l.b;
    Value data = operand(l, call, 0, "data"), ids = b.cast(operand(l, call, 1, "segment_ids"), DType::Int64);
    const Ints given = int_list(l, call, 2, "num_segments");
    if (given.empty())
      b.fail(ErrorKind::Unsupported, "segments without num_segments, whose number only the data tell, have no lowering.",
             "Give num_segments in Keras and save the model again.");
    const DType dtype = b.dtype(data);
    const std::string how = reduce;
    double empty = 1;
    if (how != "prod") {
      const auto bits = 8.0 * static_cast<double>(item_size(dtype));
      empty = dtype == DType::Float64    ? std::numeric_limits<double>::max()
              : dtype == DType::Float32  ? static_cast<double>(std::numeric_limits<float>::max())
              : dtype == DType::BFloat16 ? 3.38953138925153547590470800371487866880e38
              : dtype == DType::Float16  ? 65504
                                         : std::exp2(bits - 1);
      if (how == "amax") empty = -empty;
      if (how == "amin" && is_integral(dtype)) empty -= bits < 64 ? 1 : 1024;
    }
    if (b.rank(ids) > 1) {
      const Ints sizes = b.sizes(data);
      Ints rows{Int(-1)};
      rows.insert(rows.end(), sizes.begin() + b.rank(ids), sizes.end());
      data = b.reshape(data, rows);
      ids = b.reshape(ids, {Int(-1)});
    }
    Value last = b.cast(b.tensor_of(given[0]), DType::Int64);
    Value row = b.where(b.compare("lt", ids, 0.0), last, ids);
    const Ints sizes = b.sizes(data);
    Ints shape = sizes;
    shape[0] = given[0] + 1;
    row = b.expand(math::along_axis(b, row, 0, b.rank(data)), sizes);
    Value out = b.call("aten::scatter_reduce.two", {{"self", b.full(shape, empty, dtype)},
                                                    {"dim", 0},
                                                    {"index", row},
                                                    {"src", data},
                                                    {"reduce", how}});
    return one(b.slice(out, 0, 0, given[0]));
  };
}

}  // namespace

void register_operations_numbers(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("AllClose", all_close);
  add("Arange", arange);
  add("Argpartition", argpartition);
  add("Array", as_array);
  add("CDist", cdist);
  add("Corrcoef", corrcoef);
  add("Correlate", correlate);
  add("Diagflat", diagflat);
  add("Fabs", fabs);
  add("Fmax", pair(fmax));
  add("Fmin", pair(fmin));
  add("Fmod", pair(fmod));
  add("Full", full);
  add("Gcd", pair(gcd));
  add("Geomspace", geomspace);
  add("Heaviside", pair(heaviside));
  add("IsIn", is_in);
  add("Isclose", is_close);
  add("Kron", pair(kron));
  add("Lcm", pair(lcm));
  add("Ldexp", ldexp);
  add("Logaddexp2", pair(logaddexp2, true));
  add("Logspace", logspace);
  add("Ndim", dimensions);
  add("Nextafter", pair(next_after, true));
  add("SaturateCast", saturate_cast);
  add("SegmentMax", segments("amax"));
  add("SegmentMin", segments("amin"));
  add("SegmentProd", segments("prod"));
  add("Select", select);
  add("Sinc", sinc);
  add("Size", size);
  add("Trapezoid", trapezoid);
  add("UnravelIndex", unravel_index);
  add("Vander", vander);
  add("View", view);
}

}  // namespace midstream::keras
