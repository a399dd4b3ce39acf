// keras.ops in functional models (Keras 3 writes `x * 2` and a mask's `x != 0` as operations between the layers):
// elementwise operations. Numbers among the arguments take the tensor's dtype, as in NumPy and Keras.
#include "lower/keras/operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lower/keras/host.h"
#include "lower/keras/operation_args.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Two tensors, or a tensor and a number (in either place).
struct Terms {
  Value x, y;  // null where `number` stands
  double number = 0;
  DType dtype;  // of the result
};

double number_at(Layer& l, const Call& call, const std::string& position, const std::string& name) {
  for (const std::string& key : {position, name})
    if (auto it = call.options.find(key); it != call.options.end()) {
      if (it->is_number()) return it->get<double>();
      if (it->is_boolean()) return it->get<bool>() ? 1 : 0;
    }
  l.b.fail(ErrorKind::Unsupported, fmt::format("argument '{}' is neither a tensor nor a number.", name));
}

Terms read_pair(Layer& l, const Call& call) {
  Builder& b = l.b;
  Terms p;
  const json *first = data_of(call, 0, "x1"), *second = data_of(call, 1, "x2");
  const json* written = first ? first : second;
  if (!written || !(written->is_number() || written->is_boolean())) {
    const Pair both = operands(l, call, "x1", "x2");
    p.x = both.x;
    p.y = both.y;
    p.dtype = b.dtype(p.x);
    return p;
  }
  (first ? p.y : p.x) = operand(l, call, first ? 1 : 0, first ? "x2" : "x1");
  if (!p.x && !p.y) b.fail(ErrorKind::Unsupported, "an operation on two numbers has no lowering.");
  p.number = number_at(l, call, first ? "0" : "1", first ? "x1" : "x2");
  const DType own = b.dtype(p.x ? p.x : p.y);
  const bool whole = !written->is_number_float();
  p.dtype = own;
  if (!is_floating(own) && !whole) p.dtype = DType::Float32;
  if (own == DType::Bool && whole && written->is_number()) p.dtype = DType::Int32;
  (p.x ? p.x : p.y) = b.cast(p.x ? p.x : p.y, p.dtype);
  return p;
}

Value as_value(Builder& b, Value v, const Terms& p) { return v ? v : b.constant(p.number, p.dtype); }

using WithValues = Value (*)(Builder&, Value, Value);
using WithNumber = Value (*)(Builder&, Value, double);

using WithSizes = Int (*)(const Int&, const Int&);

// Arithmetic on sizes (tf.shape(x)[0] * 2) stays arithmetic on sizes.
std::optional<Tensors> of_sizes(Layer& l, const Call& call, WithSizes f) {
  std::vector<Int> terms[2];
  bool any = false;
  int64_t rank = 0;
  const char* names[] = {"x1", "x2"};
  for (size_t i : {0, 1}) {
    if (const Tensor t = call.arg(i, names[i]); t.value) {
      const std::vector<Int>* sizes = l.host().sizes_of(t.value);
      if (!sizes) return std::nullopt;
      terms[i] = *sizes;
      rank = std::max(rank, l.b.rank(t.value));
      any = true;
    } else {
      const json* data = data_of(call, i, names[i]);
      if (!data || !data->is_number_integer()) return std::nullopt;
      terms[i] = {Int(data->get<int64_t>())};
    }
  }
  if (!any) return std::nullopt;
  const size_t n = std::max(terms[0].size(), terms[1].size());
  if ((terms[0].size() != n && terms[0].size() != 1) || (terms[1].size() != n && terms[1].size() != 1))
    return std::nullopt;
  std::vector<Int> out;
  for (size_t i = 0; i < n; ++i) out.push_back(f(terms[0][terms[0].size() == 1 ? 0 : i], terms[1][terms[1].size() == 1 ? 0 : i]));
  return one(size_tensor(l, out, rank));
}

// An operation of two arguments; `with_number` where the second may be a number.
LayerFn binary(WithValues f, WithNumber with_number = nullptr, WithSizes with_sizes = nullptr) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    if (with_sizes)
      if (auto sizes = of_sizes(l, call, with_sizes)) return *sizes;
    Terms p = read_pair(l, call);
    if (p.x && !p.y && with_number && is_floating(p.dtype)) return {{with_number(l.b, p.x, p.number), {}}};
    return {{f(l.b, as_value(l.b, p.x, p), as_value(l.b, p.y, p)), {}}};
  };
}

// Division of integers gives floats.
Value true_divide(Builder& b, Value x, Value y) {
  const DType dtype = is_floating(b.dtype(x)) ? b.dtype(x) : DType::Float32;
  return b.div(b.cast(x, dtype), b.cast(y, dtype));
}

Value floor_divide(Builder& b, Value x, Value y) {
  return b.call("aten::div.Tensor_mode", {{"self", x}, {"other", y}, {"rounding_mode", "floor"}});
}

Value remainder(Builder& b, Value x, Value y) {
  return b.call("aten::remainder.Tensor", {{"self", x}, {"other", y}});
}

LayerFn comparison(const char* how) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Terms p = read_pair(l, call);
    // Keras 3 makes a tensor of its default dtype, float32, of the number first.
    if ((!p.x || !p.y) && l.host().keras3) p.number = math::through_float32(l.b, p.x ? p.x : p.y, p.number);
    if (p.x && !p.y) return {{l.b.compare(how, p.x, p.number), {}}};
    return {{l.b.compare(how, as_value(l.b, p.x, p), as_value(l.b, p.y, p)), {}}};
  };
}

LayerFn unary(Value (*f)(Builder&, Value)) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    return one(f(l.b, operand(l, call, 0, "x")));
  };
}

struct Row {
  const char* name;
  const char* aten;
};
// Of integers: computed in float32.
constexpr Row kFloatFunctions[] = {{"Arccos", "aten::acos"},
                                   {"Arccosh", "aten::acosh"},
                                   {"Arcsin", "aten::asin"},
                                   {"Arcsinh", "aten::asinh"},
                                   {"Arctan", "aten::atan"},
                                   {"Arctanh", "aten::atanh"},
                                   {"Ceil", "aten::ceil"},
                                   {"Cos", "aten::cos"},
                                   {"Cosh", "aten::cosh"},
                                   {"Deg2rad", "aten::deg2rad"},
                                   {"Digamma", "aten::digamma"},
                                   {"Erf", "aten::erf"},
                                   {"Erfc", "aten::erfc"},
                                   {"Erfinv", "aten::erfinv"},
                                   {"Exp", "aten::exp"},
                                   {"Exp2", "aten::exp2"},
                                   {"Expm1", "aten::expm1"},
                                   {"Floor", "aten::floor"},
                                   {"I0", "aten::special_i0"},
                                   {"Lgamma", "aten::lgamma"},
                                   {"Log", "aten::log"},
                                   {"Log10", "aten::log10"},
                                   {"Log1p", "aten::log1p"},
                                   {"Log2", "aten::log2"},
                                   {"Rad2deg", "aten::rad2deg"},
                                   {"Reciprocal", "aten::reciprocal"},
                                   {"Rsqrt", "aten::rsqrt"},
                                   {"Sin", "aten::sin"},
                                   {"Sinh", "aten::sinh"},
                                   {"Sqrt", "aten::sqrt"},
                                   {"Tan", "aten::tan"}};
constexpr Row kFunctions[] = {{"Abs", "aten::abs"},
                              {"Absolute", "aten::abs"},
                              {"BitwiseInvert", "aten::bitwise_not"},
                              {"BitwiseNot", "aten::bitwise_not"},
                              {"Isfinite", "aten::isfinite"},
                              {"Isinf", "aten::isinf"},
                              {"Isnan", "aten::isnan"},
                              {"Isneginf", "aten::isneginf"},
                              {"Isposinf", "aten::isposinf"},
                              {"Negative", "aten::neg"},
                              {"Sign", "aten::sign"},
                              {"Signbit", "aten::signbit"},
                              {"StopGradient", "aten::detach"}};
constexpr Row kBitwise[] = {{"BitwiseAnd", "aten::bitwise_and.Tensor"},
                            {"BitwiseLeftShift", "aten::bitwise_left_shift.Tensor"},
                            {"BitwiseOr", "aten::bitwise_or.Tensor"},
                            {"BitwiseRightShift", "aten::bitwise_right_shift.Tensor"},
                            {"BitwiseXor", "aten::bitwise_xor.Tensor"},
                            {"LeftShift", "aten::bitwise_left_shift.Tensor"},
                            {"RightShift", "aten::bitwise_right_shift.Tensor"}};

LayerFn aten_function(const char* name, bool of_floats) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    Value x = operand(l, call, 0, "x");
    return one(l.b.unary(name, of_floats ? as_float(l.b, x) : x));
  };
}

// Keras rounds integers to tens by way of floats; that has no lowering.
Tensors round(Layer& l, const Call& call) {
  l.expect_config({"decimals"});
  Builder& b = l.b;
  Value x = call.one().value;
  const int64_t decimals = l.integer("decimals");
  if (!is_floating(b.dtype(x))) {
    if (decimals < 0) b.fail(ErrorKind::Unsupported, "rounding integers to tens has no lowering.");
    return one(x);
  }
  if (decimals == 0) return one(b.unary("aten::round", x));
  const double factor = std::pow(10.0, static_cast<double>(decimals));
  return one(b.div(b.unary("aten::round", b.mul(x, factor)), factor));
}

Tensors nan_to_num(Layer& l, const Call& call) {
  l.expect_config({"nan", "posinf", "neginf"});
  Args args{{"self", call.one().value}};
  for (const char* entry : {"nan", "posinf", "neginf"})
    if (l.has(entry)) args.push_back({entry, l.number(entry)});
  return one(l.b.call("aten::nan_to_num", std::move(args)));
}

// A softmax over several axes: over the one that they make together.
Value over_axes(Layer& l, const char* name, Value x) {
  Builder& b = l.b;
  const std::vector<int64_t> axes = axes_of(l, x);
  std::vector<int64_t> perm, back(static_cast<size_t>(b.rank(x)));
  for (int64_t i = 0; i < b.rank(x); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) perm.push_back(i);
  const auto kept = static_cast<int64_t>(perm.size());
  perm.insert(perm.end(), axes.begin(), axes.end());
  for (size_t i = 0; i < perm.size(); ++i) back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  Value turned = b.permute(x, perm);
  const Ints sizes = b.sizes(turned);
  Ints flat(sizes.begin(), sizes.begin() + kept);
  flat.push_back(-1);
  Value y = (*registry().activations.find(name))(b, json::object(), b.reshape(turned, flat));
  return b.permute(b.reshape(y, sizes), back);
}

// The same function as an activation.
LayerFn activation(const char* name) {
  return [=](Layer& l, const Call& call) -> Tensors {
    if (l.has("axis") && l.config.at("axis").is_array()) return one(over_axes(l, name, call.one().value));
    if (l.config.contains("axis") && !l.has("axis")) {  // over all of it
      Value flat = l.b.reshape(call.one().value, {Int(-1)});
      flat = (*registry().activations.find(name))(l.b, json::object(), flat);
      return one(l.b.reshape(flat, l.b.sizes(call.one().value)));
    }
    return {{(*registry().activations.find(name))(l.b, l.config, call.one().value), {}}};
  };
}

LayerFn logical_pair(WithValues f) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Terms p = read_pair(l, call);
    return {{f(l.b, as_bool(l.b, as_value(l.b, p.x, p)), as_bool(l.b, as_value(l.b, p.y, p))), {}}};
  };
}

Tensors logical_not(Layer& l, const Call& call) { return {{l.b.logical_not(as_bool(l.b, call.one().value)), {}}}; }

Tensors where(Layer& l, const Call& call) {
  Builder& b = l.b;
  const Value condition = operand(l, call, 0, "condition");
  if (!is_given(call, 1, "x1") || !is_given(call, 2, "x2"))
    b.fail(ErrorKind::Unsupported, "ops.where without values, whose result is as long as the data say, has no lowering.");
  std::optional<Literal> literals[2];
  Value v[2];
  std::optional<DType> dtype;
  const char* names[] = {"x1", "x2"};
  for (size_t i : {0, 1}) {
    const json* data = data_of(call, i + 1, names[i]);
    if (data) literals[i] = literal_of(*data);
    if (data && !literals[i]) b.fail(ErrorKind::Unsupported, "a branch is neither a tensor nor numbers.");
    if (data && literals[i]->weak) continue;
    v[i] = operand(l, call, i + 1, names[i]);
    dtype = dtype ? promoted(*dtype, b.dtype(v[i])) : b.dtype(v[i]);
  }
  for (const auto& literal : literals)
    if (literal && literal->weak)
      dtype = dtype ? beside(*literal, *dtype) : literal->dtype;
  if (literals[0] && literals[1] && literals[0]->weak && literals[1]->weak)
    dtype = beside(*literals[1], literals[0]->dtype);
  for (size_t i : {0, 1}) v[i] = v[i] ? b.cast(v[i], *dtype) : constant_of(b, literals[i]->value, *dtype);
  return one(b.where(as_bool(b, condition), v[0], v[1]));
}

Tensors clip(Layer& l, const Call& call) {
  l.expect_config({"x_min", "x_max"});
  Builder& b = l.b;
  Value x = call.one().value;
  if (b.dtype(x) == DType::Bool) x = b.cast(x, DType::Int32);
  if (l.has("x_min") && l.has("x_max") && l.config.at("x_min").is_number() && l.config.at("x_max").is_number())
    return one(b.clamp(x, l.number("x_min"), l.number("x_max")));
  // Bounds that are tensors: tf.clip_by_value.
  const auto bound = [&](size_t position, const char* name) {
    if (l.has(name)) return constant_of(b, l.config.at(name), b.dtype(x));
    Value v = operand(l, call, position, name, b.dtype(x));
    if (!v) b.fail(ErrorKind::Unsupported, fmt::format("the bound '{}' is missing.", name));
    return b.cast(v, b.dtype(x));
  };
  const Value lo = bound(1, "x_min"), hi = bound(2, "x_max");
  return one(math::maximum(b, math::minimum(b, x, hi), lo));
}

Tensors power(Layer& l, const Call& call) {
  Terms p = read_pair(l, call);
  if (p.x && !p.y) return {{l.b.call("aten::pow.Tensor_Scalar", {{"self", p.x}, {"exponent", p.number}}), {}}};
  return {{l.b.call("aten::pow.Tensor_Tensor", {{"self", as_value(l.b, p.x, p)}, {"exponent", as_value(l.b, p.y, p)}}),
           {}}};
}

Tensors add_n(Layer& l, const Call& call) {
  const Values terms = operand_list(l, call, 0, "inputs");
  Value sum = terms.at(0);
  for (size_t i = 1; i < terms.size(); ++i) sum = l.b.add(sum, terms[i]);
  return one(sum);
}

Tensors convert_to_tensor(Layer& l, const Call& call) {
  l.expect_config({"dtype", "sparse", "ragged"});
  const auto dtype = parse_dtype(l.text("dtype"));
  return {{dtype ? l.b.cast(call.one().value, *dtype) : call.one().value, {}}};
}

Tensors cast(Layer& l, const Call& call) {
  l.expect_config({"dtype"});
  // The entry "dtype" of an operation is its own, not a policy.
  const auto dtype = parse_dtype(l.text("dtype"));
  if (!dtype)
    l.b.fail(ErrorKind::Unsupported, fmt::format("dtype '{}' is not one that midstream knows.", l.text("dtype")));
  const Value x = operand(l, call, 0, "x");
  const std::vector<Int>* sizes = l.host().sizes_of(x);
  if (sizes && is_integral(*dtype)) return one(size_tensor(l, *sizes, l.b.rank(x), *dtype));
  return one(l.b.cast(x, *dtype));
}

// Keras 3 takes an x2 with one axis longer than 1 for a bias where that fits the last axis of x1: also a column that
// NumPy would add along another axis of the same length.
Value add_values(Builder& b, Value x, Value y) {
  const Dims of_x = b.dims(x), of_y = b.dims(y);
  int64_t n = 0, longer = 0;
  for (int64_t d : of_y)
    if (d != 1) n = d, ++longer;
  if (longer == 1 && n != kUnknown && of_x.size() > 1 && of_y.size() > 1 && of_x.back() == n && of_y.back() != n)
    y = b.reshape(y, {Int(n)});
  return b.add(x, y);
}

void register_elementwise(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("Add", binary(add_values,
                    [](Builder& b, Value x, double y) { return b.add(x, y); },
                    [](const Int& x, const Int& y) { return x + y; }));
  add("Subtract", binary([](Builder& b, Value x, Value y) { return b.sub(x, y); },
                         [](Builder& b, Value x, double y) { return b.sub(x, y); },
                         [](const Int& x, const Int& y) { return x - y; }));
  add("Multiply", binary([](Builder& b, Value x, Value y) { return b.mul(x, y); },
                         [](Builder& b, Value x, double y) { return b.mul(x, y); },
                         [](const Int& x, const Int& y) { return x * y; }));
  add("TrueDivide", binary(true_divide, [](Builder& b, Value x, double y) { return b.div(x, y); }));
  add("Divide", binary(true_divide, [](Builder& b, Value x, double y) { return b.div(x, y); }));
  add("Maximum", binary([](Builder& b, Value x, Value y) { return math::maximum(b, x, y); }, nullptr,
                        [](const Int& x, const Int& y) { return max(x, y); }));
  add("Minimum", binary([](Builder& b, Value x, Value y) { return math::minimum(b, x, y); }, nullptr,
                        [](const Int& x, const Int& y) { return min(x, y); }));
  add("Power", power);
  for (const Row& row : kFloatFunctions) add(row.name, aten_function(row.aten, true));
  for (const Row& row : kFunctions) add(row.name, aten_function(row.aten, false));
  for (const Row& row : kBitwise)
    add(row.name, [name = row.aten](Layer& l, const Call& call) -> Tensors {
      l.expect_config({});
      const Pair p = operands(l, call, "x1", "x2");
      return one(l.b.call(name, {{"self", p.x}, {"other", p.y}}));
    });
  add("Square", unary([](Builder& b, Value v) {
        return b.square(b.dtype(v) == DType::Bool ? b.cast(v, DType::Int32) : v);
      }));
  add("Trunc", unary([](Builder& b, Value v) { return is_floating(b.dtype(v)) ? b.unary("aten::trunc", v) : v; }));
  add("Cbrt", unary([](Builder& b, Value v) {
        v = as_float(b, v);
        Value root = b.call("aten::pow.Tensor_Scalar", {{"self", b.abs(v)}, {"exponent", 1.0 / 3}});
        return b.mul(b.unary("aten::sign", v), root);
      }));
  add("Copy", unary([](Builder&, Value v) { return v; }));
  add("Round", round);
  add("NanToNum", nan_to_num);
  add("FloorDivide", binary(floor_divide, nullptr, [](const Int& x, const Int& y) { return floor_div(x, y); }));
  add("Mod", binary(remainder, nullptr, [](const Int& x, const Int& y) { return mod(x, y); }));
  add("DivideNoNan", binary([](Builder& b, Value x, Value y) {
        return math::divide_no_nan(b, as_float(b, x), as_float(b, y));
      }));
  add("Arctan2", binary([](Builder& b, Value x, Value y) {
        return b.call("aten::atan2", {{"self", as_float(b, x)}, {"other", as_float(b, y)}});
      }));
  add("Logaddexp", binary([](Builder& b, Value x, Value y) {
        x = as_float(b, x);
        y = as_float(b, y);
        Value small = b.exp(b.neg(b.abs(b.sub(x, y))));
        return b.add(math::maximum(b, x, y), b.unary("aten::log1p", small));
      }));
  add("Hypot", binary([](Builder& b, Value x, Value y) {
        return b.sqrt(b.add(b.square(as_float(b, x)), b.square(as_float(b, y))));
      }));
  add("SquaredDifference", binary([](Builder& b, Value x, Value y) { return b.square(b.sub(x, y)); }));
  const std::map<const char*, const char*> activations{{"Relu", "relu"},
                                                       {"Relu6", "relu6"},
                                                       {"Sigmoid", "sigmoid"},
                                                       {"Softmax", "softmax"},
                                                       {"Softplus", "softplus"},
                                                       {"Softsign", "softsign"},
                                                       {"Silu", "silu"},
                                                       {"Gelu", "gelu"},
                                                       {"Elu", "elu"},
                                                       {"Selu", "selu"},
                                                       {"Tanh", "tanh"},
                                                       {"LeakyRelu", "leaky_relu"},
                                                       {"LogSoftmax", "log_softmax"},
                                                       {"HardSigmoid", "hard_sigmoid"},
                                                       {"Celu", "celu"},
                                                       {"Glu", "glu"},
                                                       {"HardShrink", "hard_shrink"},
                                                       {"HardSilu", "hard_silu"},
                                                       {"HardTanh", "hard_tanh"},
                                                       {"LogSigmoid", "log_sigmoid"},
                                                       {"SoftShrink", "soft_shrink"},
                                                       {"SparsePlus", "sparse_plus"},
                                                       {"SparseSigmoid", "sparse_sigmoid"},
                                                       {"Sparsemax", "sparsemax"},
                                                       {"Squareplus", "squareplus"},
                                                       {"TanhShrink", "tanh_shrink"},
                                                       {"Threshold", "threshold"}};
  for (const auto& [name, function] : activations) add(name, activation(function));
  add("Clip", clip);
  add("Cast", cast);
  add("ConvertToTensor", convert_to_tensor);
  add("Where", where);
}

}  // namespace

void register_operation(Registry& r, const std::string& name, LayerFn fn) {
  r.layer("ops." + name, std::move(fn));
  r.keeps_input_dtype.insert("ops." + name);  // operations have no dtype policy
}

void register_tensorflow_operation(Registry& r, const std::string& name, LayerFn fn) {
  r.layer("tf." + name, std::move(fn));
  r.keeps_input_dtype.insert("tf." + name);
}

void register_operations(Registry& r) {
  register_elementwise(r);
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  const std::map<const char*, const char*> comparisons{{"Equal", "eq"},     {"NotEqual", "ne"}, {"Less", "lt"},
                                                       {"LessEqual", "le"}, {"Greater", "gt"},  {"GreaterEqual", "ge"}};
  for (const auto& [name, how] : comparisons) add(name, comparison(how));
  add("LogicalAnd", logical_pair([](Builder& b, Value x, Value y) { return b.logical_and(x, y); }));
  add("LogicalOr", logical_pair([](Builder& b, Value x, Value y) { return b.logical_or(x, y); }));
  add("LogicalNot", logical_not);
  register_tensorflow_operation(r, "math.add_n", add_n);
  add("LogicalXor", logical_pair([](Builder& b, Value x, Value y) {
        return b.call("aten::logical_xor", {{"self", x}, {"other", y}});
      }));
}

}  // namespace midstream::keras
