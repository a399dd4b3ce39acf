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

Tensors norm(Layer& l, const Call& call) {
  l.expect_config({"ord", "axis", "keepdims"});
  Builder& b = l.b;
  Value x = operand(l, call, 0, "x");
  x = as_float(b, x);
  const Axes axes = axes_of(l, x);
  const bool keep = l.flag("keepdims");
  const json order = l.has("ord") ? l.config.at("ord") : json();
  const bool plain = order.is_null() || order == "euclidean" || (order == 2 && axes.size() != 2) ||
                     (order == "fro" && axes.size() == 2);
  if (plain) return one(euclidean_norm(b, x, axes, keep));
  if (axes.size() == 1 && order.is_number()) return one(vector_norm(l, x, axes, order.get<double>(), keep));
  if (axes.size() == 1 && (order == "inf" || order == "-inf"))
    return one(vector_norm(l, x, axes, std::numeric_limits<double>::infinity() * (order == "inf" ? 1 : -1), keep));
  b.fail(ErrorKind::Unsupported,
         fmt::format("a norm of order {} over {} axes has no lowering.", order.dump(), axes.size()),
         "Known are the Euclidean and Frobenius norm, and orders that are numbers over one axis.");
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
  const bool single = unit == 1 || b.dtype(x) != DType::Float64;
  const auto at = [&](const json& one_q) {
    const auto given = one_q.get<double>();
    const double position = single ? static_cast<double>(static_cast<float>(given) / static_cast<float>(unit)) : given / unit;
    Value y = quantile_of(b, ordered, position, method);
    y = b.where(nan, total, y);
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
                                                                            {"Nanmean", nan_mean},
                                                                            {"Nanprod", nan_prod},
                                                                            {"Nansum", nan_sum},
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
