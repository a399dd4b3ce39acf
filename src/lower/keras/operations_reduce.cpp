// keras.ops that reduce, scan and order.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lower/keras/operation_args.h"
#include "lower/keras/operations.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Axes = std::vector<int64_t>;
using Reduction = Value (*)(Builder&, Value, const Axes&, bool keep);

LayerFn reduction(Reduction f) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"axis", "keepdims", "initial", "dtype"});
    Value x = operand(l, call, 0, "x");
    if (const auto dtype = parse_dtype(l.text("dtype"))) x = l.b.cast(x, *dtype);
    const Axes axes = axes_of(l, x);
    if (axes.empty() && l.has("axis")) return one(x);
    return one(f(l.b, x, axes, l.flag("keepdims")));
  };
}

// Small integers are added up, and multiplied, as int32.
Value widened(Builder& b, Value v) {
  const DType d = b.dtype(v);
  return d == DType::Bool || d == DType::Int8 || d == DType::Int16 ? b.cast(v, DType::Int32) : v;
}

// All axes are none, which is the shorter call.
Axes short_of(Builder& b, Value v, const Axes& axes, bool keep) {
  return !keep && static_cast<int64_t>(axes.size()) == b.rank(v) ? Axes{} : axes;
}

Value sum(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.sum(widened(b, v), short_of(b, v, axes, keep), keep);
}
Value mean(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.mean(as_float(b, v), short_of(b, v, axes, keep), keep);
}
Value prod(Builder& b, Value v, const Axes& axes, bool keep) {
  v = widened(b, v);
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis)
    v = b.call("aten::prod.dim_int", {{"self", v}, {"dim", *axis}, {"keepdim", keep}, {"dtype", b.dtype(v)}});
  return v;
}
Value any_or_all(Builder& b, const char* op, Value v, const Axes& axes, bool keep) {
  v = as_bool(b, v);
  if (short_of(b, v, axes, keep).empty()) return b.unary(op, v);
  return b.call(std::string(op) + ".dims", {{"self", v}, {"dim", Dims(axes)}, {"keepdim", keep}});
}
Value any(Builder& b, Value v, const Axes& axes, bool keep) { return any_or_all(b, "aten::any", v, axes, keep); }
Value all(Builder& b, Value v, const Axes& axes, bool keep) { return any_or_all(b, "aten::all", v, axes, keep); }
Value amax(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.dtype(v) == DType::Bool ? any(b, v, axes, keep) : b.amax(v, short_of(b, v, axes, keep), keep);
}
Value amin(Builder& b, Value v, const Axes& axes, bool keep) {
  if (b.dtype(v) == DType::Bool) return all(b, v, axes, keep);
  return b.call("aten::amin", {{"self", v}, {"dim", Dims(short_of(b, v, axes, keep))}, {"keepdim", keep}});
}
Value variance(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.call("aten::var.correction",
                {{"self", as_float(b, v)}, {"dim", Dims(axes)}, {"correction", 0}, {"keepdim", keep}});
}
Value deviation(Builder& b, Value v, const Axes& axes, bool keep) { return b.sqrt(variance(b, v, axes, keep)); }
Value count_nonzero(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.sum(b.cast(as_bool(b, v), DType::Int32), short_of(b, v, axes, keep), keep);
}
Value logsumexp(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.call("aten::logsumexp", {{"self", v}, {"dim", Dims(axes)}, {"keepdim", keep}});
}
Value range_of(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.sub(amax(b, v, axes, keep), amin(b, v, axes, keep));
}
Value euclidean_norm(Builder& b, Value v, const Axes& axes, bool keep) {
  return b.sqrt(b.sum(b.square(v), short_of(b, v, axes, keep), keep));
}

Value without_nan(Builder& b, Value v, double otherwise) {
  if (!is_floating(b.dtype(v))) return v;
  return b.where(b.unary("aten::isnan", v), b.constant(otherwise, b.dtype(v)), v);
}
Value nan_sum(Builder& b, Value v, const Axes& axes, bool keep) { return sum(b, without_nan(b, v, 0), axes, keep); }
Value nan_prod(Builder& b, Value v, const Axes& axes, bool keep) { return prod(b, without_nan(b, v, 1), axes, keep); }
Value numbers_among(Builder& b, Value v, const Axes& axes, bool keep) {
  return sum(b, b.cast(b.logical_not(b.unary("aten::isnan", v)), b.dtype(v)), axes, keep);
}
Value nan_mean(Builder& b, Value v, const Axes& axes, bool keep) {
  v = as_float(b, v);
  return b.div(nan_sum(b, v, axes, keep), numbers_among(b, v, axes, keep));
}

// The greatest or least of the numbers among them; NaN where there are none.
Value nan_extreme(Builder& b, Value v, const Axes& axes, bool keep, Reduction f, double otherwise) {
  if (!is_floating(b.dtype(v))) return f(b, v, axes, keep);
  Value none = all(b, b.unary("aten::isnan", v), axes, keep);
  Value nan = b.constant(std::numeric_limits<double>::quiet_NaN(), b.dtype(v));
  return b.where(none, nan, f(b, without_nan(b, v, otherwise), axes, keep));
}
Value nan_max(Builder& b, Value v, const Axes& axes, bool keep) {
  return nan_extreme(b, v, axes, keep, amax, -std::numeric_limits<double>::infinity());
}
Value nan_min(Builder& b, Value v, const Axes& axes, bool keep) {
  return nan_extreme(b, v, axes, keep, amin, std::numeric_limits<double>::infinity());
}
Value nan_var(Builder& b, Value v, const Axes& axes, bool keep) {
  v = as_float(b, v);
  Value centred = b.where(b.unary("aten::isnan", v), b.constant(0, b.dtype(v)), b.sub(v, nan_mean(b, v, axes, true)));
  return b.div(sum(b, b.square(centred), axes, keep), numbers_among(b, v, axes, keep));
}
Value nan_std(Builder& b, Value v, const Axes& axes, bool keep) { return b.sqrt(nan_var(b, v, axes, keep)); }

LayerFn extreme(Reduction f, Value (*with)(Builder&, Value, Value)) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Tensors out = reduction(f)(l, call);
    if (l.has("initial"))
      out[0].value = with(l.b, out[0].value, l.b.constant(l.number("initial"), l.b.dtype(out[0].value)));
    return out;
  };
}

// --- norms

Value power(Builder& b, Value v, double exponent) {
  return b.call("aten::pow.Tensor_Scalar", {{"self", v}, {"exponent", exponent}});
}

Value vector_norm(Layer& l, Value x, const Axes& axes, double order, bool keep) {
  Builder& b = l.b;
  if (std::isinf(order)) return order > 0 ? amax(b, b.abs(x), axes, keep) : amin(b, b.abs(x), axes, keep);
  if (order == 0) return sum(b, b.cast(b.compare("ne", x, 0.0), b.dtype(x)), axes, keep);
  return power(b, sum(b, order == 1 ? b.abs(x) : power(b, b.abs(x), order), axes, keep), 1 / order);
}

// Norms of matrices: the greatest or least sum of a column or row, and of the singular values.
Value matrix_norm(Layer& l, Value x, const json& order, bool keep) {
  Builder& b = l.b;
  const std::vector<int64_t> given = l.has("axis") ? l.ints("axis") : std::vector<int64_t>{0, 1};
  const int64_t rows = math::axis_of(b, x, given.at(0)), columns = math::axis_of(b, x, given.at(1));
  Value y;
  if (order == "nuc" || order == 2 || order == -2) {
    Value turned = b.call("aten::movedim.intlist",
                          {{"self", x}, {"source", Dims{rows, columns}}, {"destination", Dims{-2, -1}}});
    Value s = b.call("aten::linalg_svdvals", {{"A", turned}});
    y = order == "nuc" ? b.sum(s, {-1}) : order == 2 ? b.amax(s, {-1}) : amin(b, s, {b.rank(s) - 1}, false);
    for (int64_t axis : {std::min(rows, columns), std::max(rows, columns)})
      if (keep) y = b.unsqueeze(y, axis);
    return y;
  }
  const bool of_columns = order == 1 || order == -1;
  const bool greatest = order == 1 || order == "inf";
  const int64_t summed = of_columns ? rows : columns, left = of_columns ? columns : rows;
  y = b.sum(b.abs(x), {summed}, true);
  y = greatest ? b.amax(y, {left}, true) : amin(b, y, {left}, true);
  if (!keep)
    for (int64_t axis : {std::max(rows, columns), std::min(rows, columns)}) y = b.squeeze(y, axis);
  return y;
}

Tensors norm(Layer& l, const Call& call) {
  l.expect_config({"ord", "axis", "keepdims"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  x = as_float(b, x);
  const Axes axes = axes_of(l, x);
  const bool keep = l.flag("keepdims");
  json order = l.has("ord") ? l.config.at("ord") : json();
  if (order == "Infinity") order = "inf";  // as files have it
  if (order == "-Infinity") order = "-inf";
  const bool plain = order.is_null() || order == "euclidean" || (order == 2 && axes.size() != 2) ||
                     (order == "fro" && axes.size() == 2);
  if (plain) return one(euclidean_norm(b, x, axes, keep));
  if (axes.size() == 1 && order.is_number()) return one(vector_norm(l, x, axes, order.get<double>(), keep));
  if (axes.size() == 1 && (order == "inf" || order == "-inf"))
    return one(vector_norm(l, x, axes, std::numeric_limits<double>::infinity() * (order == "inf" ? 1 : -1), keep));
  const bool infinite = order == "inf" || order == "-inf";
  if (axes.size() == 2 && (infinite || order == "nuc" || order == 1 || order == -1 || order == 2 || order == -2))
    return one(matrix_norm(l, x, order, keep));
  b.fail(ErrorKind::Unsupported,
         fmt::format("a norm of order {} over {} axes has no lowering.", order.dump(), axes.size()),
         "Known are the Euclidean, Frobenius and nuclear norm, orders that are numbers over one axis, and 1, 2 and "
         "infinity of both signs over two.");
}

Tensors normalize(Layer& l, const Call& call) {
  l.expect_config({"axis", "order", "epsilon"});
  Builder& b = l.b;
  Value x = as_float(b, call.one().value);
  const Axes axes = axes_of(l, x);
  const double epsilon = l.number("epsilon", 1e-7);
  const int64_t order = l.integer("order", 2);
  if (order == 2) return one(math::l2_normalize_bounded(b, x, axes, 1 / epsilon));
  if (axes.size() != 1) b.fail(ErrorKind::Unsupported, "an order other than 2 over several axes has no lowering.");
  return one(b.div(x, math::maximum(b, vector_norm(l, x, axes, static_cast<double>(order), true), epsilon)));
}

// tf.math.l2_normalize
Tensors l2_normalize(Layer& l, const Call& call) {
  l.expect_config({"axis", "epsilon"});
  Value x = operand(l, call, 0, "x");
  return one(math::l2_normalize(l.b, x, axes_of(l, x), l.number("epsilon", 1e-12)));
}

Tensors moments(Layer& l, const Call& call) {
  l.expect_config({"axes", "keepdims", "synchronized"});
  if (l.flag("synchronized")) l.b.fail(ErrorKind::Unsupported, "moments over several devices have no lowering.");
  Value x = call.one().value;
  const Axes axes = axes_of(l, x, "axes");
  const bool keep = l.flag("keepdims");
  return {{mean(l.b, x, axes, keep), {}}, {variance(l.b, x, axes, keep), {}}};
}

Tensors average(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Value x = as_float(b, call.one().value);
  const Axes axes = axes_of(l, x);
  Value w = operand(l, call, 1, "weights", b.dtype(x));
  if (!w) return one(mean(b, x, axes, false));
  const DType dtype = promoted(b.dtype(x), b.dtype(w));
  x = b.cast(x, dtype);
  w = b.cast(w, dtype);
  if (b.rank(w) == b.rank(x)) return one(b.div(sum(b, b.mul(x, w), axes, false), sum(b, w, axes, false)));
  if (axes.size() != 1) b.fail(ErrorKind::Unsupported, "weights of another rank go along one axis only.");
  Value turned = b.call("aten::movedim.int", {{"self", x}, {"source", axes[0]}, {"destination", -1}});
  return one(b.div(b.matmul(turned, w), b.sum(w, {})));
}

// --- orders

// The tensor in one axis where none is given.
Value flat_without_axis(Layer& l, Value x) { return l.has("axis") ? x : l.b.reshape(x, {Int(-1)}); }
int64_t scan_axis(const Layer& l, Value x, int64_t otherwise) {
  return l.has("axis") ? math::axis_of(l.b, x, l.integer("axis")) : otherwise;
}

// Keras 3 takes -0.0 as less than 0.0.
Value zeros_apart(Builder& b, Value x) {
  const double least = b.dtype(x) == DType::Float64 ? std::numeric_limits<double>::min()
                                                    : static_cast<double>(std::numeric_limits<float>::min());
  Value negative_zero = b.logical_and(b.compare("eq", x, 0.0), b.unary("aten::signbit", x));
  return b.where(negative_zero, b.constant(-least, b.dtype(x)), x);
}

LayerFn arg_extreme(const char* op, bool tells_zeros_apart) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"axis", "keepdims", "dtype"});
    Builder& b = l.b;
    Value given = operand(l, call, 0, "x"), x = given;
    if (tells_zeros_apart && is_floating(b.dtype(x))) {
      if (item_size(b.dtype(x)) < 4) x = b.cast(x, DType::Float32);
      x = zeros_apart(b, x);
    }
    if (b.dtype(x) == DType::Bool) x = b.cast(x, DType::Int32);
    x = flat_without_axis(l, x);
    Args args{{"self", x}, {"dim", scan_axis(l, x, 0)}};
    const bool keep = l.flag("keepdims");
    if (keep && l.has("axis")) args.push_back({"keepdim", true});
    Value at = b.cast(b.call(op, std::move(args)),
                      tells_zeros_apart ? DType::Int32 : parse_dtype(l.text("dtype")).value_or(DType::Int64));
    if (keep && !l.has("axis")) at = b.reshape(at, Ints(static_cast<size_t>(b.rank(given)), Int(1)));
    return one(at);
  };
}

LayerFn scan(const char* op, double start) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"axis", "dtype", "exclusive", "reverse"});
    Builder& b = l.b;
    Value x = operand(l, call, 0, "x");
    if (const auto dtype = parse_dtype(l.text("dtype"))) x = b.cast(x, *dtype);
    if (b.dtype(x) == DType::Bool) x = b.cast(x, DType::Int32);
    x = flat_without_axis(l, x);
    const int64_t axis = scan_axis(l, x, 0);
    if (l.flag("reverse")) x = b.flip(x, {axis});
    if (l.flag("exclusive")) {
      Ints pads(static_cast<size_t>(2 * (b.rank(x) - axis)), Int(0));
      pads[pads.size() - 2] = 1;
      pads[pads.size() - 1] = -1;
      x = b.pad(x, pads, start);
    }
    Args args{{"self", x}, {"dim", axis}};
    if (!is_floating(b.dtype(x))) args.push_back({"dtype", b.dtype(x)});
    Value y = b.call(op, std::move(args));
    return one(l.flag("reverse") ? b.flip(y, {axis}) : y);
  };
}

// NaN where an axis has nothing else: -1.
LayerFn nan_arg_extreme(const char* op, double otherwise) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Builder& b = l.b;
    const Value x = operand(l, call, 0, "x");
    if (!is_floating(b.dtype(x))) return arg_extreme(op, true)(l, call);
    Call clean = call;
    clean.args.at(0) = clean.inputs = {{without_nan(b, x, otherwise), {}}};
    Value at = arg_extreme(op, true)(l, clean)[0].value;
    Value none = all(b, b.unary("aten::isnan", x), axes_of(l, x), l.flag("keepdims"));
    return one(b.where(none, b.constant(-1, b.dtype(at)), at));
  };
}

LayerFn nan_scan(const char* op, double start) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Builder& b = l.b;
    Value x = operand(l, call, 0, "x");
    if (is_floating(b.dtype(x))) x = b.call("aten::nan_to_num", {{"self", x}, {"nan", start}});
    Call clean = call;
    clean.args.at(0) = clean.inputs = {{x, {}}};
    return scan(op, start)(l, clean);
  };
}

Values sorted(Builder& b, Value x, int64_t axis, bool descending = false) {
  return b.call_all("aten::sort.stable", {{"self", x}, {"stable", true}, {"dim", axis}, {"descending", descending}});
}

bool is_descending(const Layer& l) {
  const std::string direction = l.text("direction", "ASCENDING");
  if (direction != "ASCENDING" && direction != "DESCENDING")
    l.b.fail(ErrorKind::Mismatch, fmt::format("direction '{}' is neither ASCENDING nor DESCENDING.", direction));
  return direction == "DESCENDING";
}

Tensors sort(Layer& l, const Call& call) {
  l.expect_config({"axis", "direction"});
  Value x = flat_without_axis(l, call.one().value);
  return one(sorted(l.b, x, scan_axis(l, x, 0), is_descending(l)).at(0));
}

Tensors argsort(Layer& l, const Call& call) {
  l.expect_config({"axis", "direction", "stable"});
  Value x = flat_without_axis(l, call.one().value);
  return one(l.b.cast(sorted(l.b, x, scan_axis(l, x, 0), is_descending(l)).at(1), DType::Int32));
}

// Of equal elements the one with the lower index comes first: a stable sort, which aten::topk is not.
Tensors top_k(Layer& l, const Call& call) {
  l.expect_config({"k", "sorted"});
  Builder& b = l.b;
  Value x = call.one().value;
  const Int k = int_list(l, call, 1, "k").at(0);
  const int64_t last = b.rank(x) - 1;
  Values all = sorted(b, x, last, true);
  return {{b.slice(all.at(0), last, 0, k), {}}, {b.cast(b.slice(all.at(1), last, 0, k), DType::Int32), {}}};
}

Tensors diff(Layer& l, const Call& call) {
  l.expect_config({"n", "axis"});
  Builder& b = l.b;
  Value x = call.one().value;
  const int64_t axis = math::axis_of(b, x, l.integer("axis", -1));
  for (int64_t i = 0; i < l.integer("n", 1); ++i) {
    const Int n = b.size(x, axis);
    Value later = b.slice(x, axis, 1, n), earlier = b.slice(x, axis, 0, n - 1);
    x = b.dtype(x) == DType::Bool ? b.compare("ne", later, earlier) : b.sub(later, earlier);
  }
  return one(x);
}

// The element at rank q (n - 1) of the sorted ones, or between two of them. `last`: x has its axes there, as one.
Value quantile_of(Builder& b, Value ordered_last, double q, const std::string& method) {
  const int64_t last = b.rank(ordered_last) - 1, n = b.dims(ordered_last)[static_cast<size_t>(last)];
  if (n == kUnknown) b.fail(ErrorKind::Unsupported, "a quantile along an axis of unknown size has no lowering.");
  const double at = q * static_cast<double>(n - 1);
  const auto pick = [&](double index) {
    return b.select(ordered_last, last, std::clamp<int64_t>(static_cast<int64_t>(index), 0, n - 1));
  };
  const double low = std::floor(at), high = std::ceil(at);
  if (method == "lower") return pick(low);
  if (method == "higher") return pick(high);
  if (method == "nearest") return pick(std::nearbyint(at));
  if (method == "midpoint") return b.div(b.add(pick(low), pick(high)), 2.0);
  if (method != "linear") b.fail(ErrorKind::Unsupported, fmt::format("quantile method '{}' has no lowering.", method));
  // The neighbours are low + 1 and high - 1, the same where `at` is whole.
  const double upper = std::min(low + 1, static_cast<double>(n - 1)), fraction = upper - at;
  if (low == at) return pick(low);
  return b.add(b.mul(pick(upper), 1 - fraction), b.mul(pick(upper - 1), fraction));
}

// The same among the numbers of each row, which differ in how many they are: NaN come last in the order.
Value nan_quantile_of(Builder& b, Value ordered_last, double q, const std::string& method) {
  const DType dtype = b.dtype(ordered_last);
  const int64_t last = b.rank(ordered_last) - 1;
  Value count = b.sum(b.cast(b.logical_not(b.unary("aten::isnan", ordered_last)), dtype), {last}, true);
  Value end = math::maximum(b, b.sub(count, 1.0), 0.0), at = b.mul(end, q);
  const auto pick = [&](Value index) {
    Value place = b.cast(math::minimum(b, math::maximum(b, index, 0.0), end), DType::Int64);
    return b.call("aten::gather", {{"self", ordered_last}, {"dim", last}, {"index", place}});
  };
  Value low = b.unary("aten::floor", at), high = b.unary("aten::ceil", at), y;
  if (method == "lower") {
    y = pick(low);
  } else if (method == "higher") {
    y = pick(high);
  } else if (method == "nearest") {
    y = pick(b.unary("aten::round", at));
  } else if (method == "midpoint") {
    y = b.div(b.add(pick(low), pick(high)), 2.0);
  } else if (method == "linear") {
    Value upper = math::minimum(b, b.add(low, 1.0), end), fraction = b.sub(upper, at);
    y = b.add(b.mul(pick(upper), b.rsub(1, fraction)), b.mul(pick(b.sub(upper, 1.0)), fraction));
  } else {
    b.fail(ErrorKind::Unsupported, fmt::format("quantile method '{}' has no lowering.", method));
  }
  return b.squeeze(y, last);
}

Tensors quantile(Layer& l, const Call& call, const json& q, double unit) {
  Builder& b = l.b;
  Value x = as_float(b, call.one().value);
  const Axes axes = axes_of(l, x);
  Axes perm;
  for (int64_t i = 0; i < b.rank(x); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) perm.push_back(i);
  const auto kept = static_cast<int64_t>(perm.size());
  perm.insert(perm.end(), axes.begin(), axes.end());
  Value turned = b.permute(x, perm);
  const Ints sizes = b.sizes(turned);
  Int n = 1;
  for (size_t i = static_cast<size_t>(kept); i < sizes.size(); ++i) n = n * sizes[i];
  Ints flat(sizes.begin(), sizes.begin() + kept);
  flat.push_back(n);
  turned = b.reshape(turned, flat);
  Value ordered = sorted(b, turned, kept).at(0);
  Value nan = b.call("aten::any.dim", {{"self", b.unary("aten::isnan", turned)}, {"dim", kept}});
  Value total = b.sum(turned, {kept});  // NaN where one of them is
  // Keras' Quantile does not hand its method on (Keras 3.15): it is always linear.
  const std::string method = l.class_name == "ops.Quantile" ? "linear" : l.text("method", "linear");
  // Keras makes a float32 of q first, and a tensor of its default dtype of percentages.
  const bool numbers_only = l.class_name.starts_with("ops.Nan");
  const bool single = (unit == 1 && !numbers_only) || b.dtype(x) != DType::Float64;
  const auto at = [&](const json& one_q) {
    const auto given = one_q.get<double>();
    const double position = single ? static_cast<double>(static_cast<float>(given) / static_cast<float>(unit)) : given / unit;
    Value y = numbers_only ? nan_quantile_of(b, ordered, position, method) : quantile_of(b, ordered, position, method);
    if (!numbers_only) y = b.where(nan, total, y);
    if (l.flag("keepdims"))
      for (int64_t axis : axes) y = b.unsqueeze(y, axis);
    return y;
  };
  const auto literal = literal_of(q);
  const json& numbers = literal ? literal->value : q;
  if (numbers.is_number()) return one(at(numbers));
  Values all;
  for (const json& item : numbers) {
    if (!item.is_number()) b.fail(ErrorKind::Unsupported, "quantiles in a nested list have no lowering.");
    all.push_back(at(item));
  }
  return one(b.stack(all, 0));
}

LayerFn quantile_by(double unit) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"axis", "method", "keepdims"});
    const json* q = data_of(call, 1, "q");
    if (!q) l.b.fail(ErrorKind::Unsupported, "a quantile that is a tensor has no lowering.");
    return quantile(l, call, *q, unit);
  };
}

Tensors median(Layer& l, const Call& call) {
  l.expect_config({"axis", "keepdims"});
  return quantile(l, call, 0.5, 1);
}

}  // namespace

void register_operations_reduce(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  const std::initializer_list<std::pair<const char*, Reduction>> reductions{{"All", all},
                                                                            {"Any", any},
                                                                            {"CountNonzero", count_nonzero},
                                                                            {"Logsumexp", logsumexp},
                                                                            {"Mean", mean},
                                                                            {"Nanmax", nan_max},
                                                                            {"Nanmean", nan_mean},
                                                                            {"Nanmin", nan_min},
                                                                            {"Nanprod", nan_prod},
                                                                            {"Nanstd", nan_std},
                                                                            {"Nansum", nan_sum},
                                                                            {"Nanvar", nan_var},
                                                                            {"Prod", prod},
                                                                            {"Ptp", range_of},
                                                                            {"Std", deviation},
                                                                            {"Sum", sum},
                                                                            {"Var", variance}};
  for (const auto& [name, f] : reductions) add(name, reduction(f));
  for (const char* name : {"Max", "Amax"}) add(name, extreme(amax, math::maximum));
  for (const char* name : {"Min", "Amin"}) add(name, extreme(amin, math::minimum));
  add("Argmax", arg_extreme("aten::argmax", true));
  add("Argmin", arg_extreme("aten::argmin", true));
  add("Argsort", argsort);
  add("Average", average);
  add("Cumprod", scan("aten::cumprod", 1));
  add("Cumsum", scan("aten::cumsum", 0));
  add("Diff", diff);
  add("Median", median);
  add("Moments", moments);
  add("Nanargmax", nan_arg_extreme("aten::argmax", -std::numeric_limits<double>::infinity()));
  add("Nanargmin", nan_arg_extreme("aten::argmin", std::numeric_limits<double>::infinity()));
  add("Nancumprod", nan_scan("aten::cumprod", 1));
  add("Nancumsum", nan_scan("aten::cumsum", 0));
  add("Nanmedian", median);
  add("Nanpercentile", quantile_by(100));
  add("Nanquantile", quantile_by(1));
  add("Norm", norm);
  add("Normalize", normalize);
  add("Percentile", quantile_by(100));
  add("Quantile", quantile_by(1));
  add("Sort", sort);
  add("TopK", top_k);
  // TensorFlow's own, of tf_keras.
  register_tensorflow_operation(r, "math.argmax", arg_extreme("aten::argmax", false));
  register_tensorflow_operation(r, "math.argmin", arg_extreme("aten::argmin", false));
  register_tensorflow_operation(r, "math.l2_normalize", l2_normalize);
}

}  // namespace midstream::keras
