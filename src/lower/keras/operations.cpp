// keras.ops in functional models (Keras 3 writes `x * 2` and a mask's `x != 0` as operations between the layers):
// elementwise operations and reductions. Numbers among the arguments take the tensor's dtype, as in NumPy and Keras.
#include "lower/keras/operations.h"

#include <fmt/format.h>

#include <map>

#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Two tensors, or a tensor and a number (in either place).
struct Pair {
  Value x, y;  // null where `number` stands
  double number = 0;
  DType dtype;  // of the result
};

DType promoted(DType a, DType b) {
  if (a == b) return a;
  if (a == DType::Bool) return b;
  if (b == DType::Bool) return a;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (item_size(a) == item_size(b)) return is_floating(a) ? DType::Float32 : DType::Int64;
  return item_size(a) > item_size(b) ? a : b;
}

double number_at(Layer& l, const Call& call, const std::string& position, const std::string& name) {
  for (const std::string& key : {position, name})
    if (auto it = call.options.find(key); it != call.options.end()) {
      if (it->is_number()) return it->get<double>();
      if (it->is_boolean()) return it->get<bool>() ? 1 : 0;
    }
  l.b.fail(ErrorKind::Unsupported, fmt::format("argument '{}' is neither a tensor nor a number.", name));
}

Pair read_pair(Layer& l, const Call& call) {
  Builder& b = l.b;
  Pair p;
  p.x = call.arg(0, "x1").value;
  p.y = call.arg(1, "x2").value;
  if (p.x && p.y) {
    p.dtype = promoted(b.dtype(p.x), b.dtype(p.y));
    p.x = b.cast(p.x, p.dtype);
    p.y = b.cast(p.y, p.dtype);
    return p;
  }
  const std::string position = p.x ? "1" : "0";
  p.number = number_at(l, call, position, p.x ? "x2" : "x1");
  const DType own = b.dtype(p.x ? p.x : p.y);
  const json* written = call.options.contains(position) ? &call.options.at(position) : nullptr;
  const bool whole = written && !written->is_number_float();
  p.dtype = own;
  if (!is_floating(own) && !whole) p.dtype = DType::Float32;
  if (own == DType::Bool && whole && written->is_number()) p.dtype = DType::Int32;
  (p.x ? p.x : p.y) = b.cast(p.x ? p.x : p.y, p.dtype);
  return p;
}

Value as_value(Builder& b, Value v, const Pair& p) { return v ? v : b.constant(p.number, p.dtype); }

using WithValues = Value (*)(Builder&, Value, Value);
using WithNumber = Value (*)(Builder&, Value, double);

// An operation of two arguments; `with_number` where the second may be a number.
LayerFn binary(WithValues f, WithNumber with_number = nullptr) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Pair p = read_pair(l, call);
    if (p.x && !p.y && with_number && is_floating(p.dtype)) return {{with_number(l.b, p.x, p.number), {}}};
    return {{f(l.b, as_value(l.b, p.x, p), as_value(l.b, p.y, p)), {}}};
  };
}

// Division of integers gives floats.
Value true_divide(Builder& b, Value x, Value y) {
  const DType dtype = is_floating(b.dtype(x)) ? b.dtype(x) : DType::Float32;
  return b.div(b.cast(x, dtype), b.cast(y, dtype));
}

LayerFn comparison(const char* how) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Pair p = read_pair(l, call);
    // Keras 3 makes a tensor of its default dtype, float32, of the number first.
    if ((!p.x || !p.y) && l.host().keras3) p.number = math::through_float32(l.b, p.x ? p.x : p.y, p.number);
    if (p.x && !p.y) return {{l.b.compare(how, p.x, p.number), {}}};
    return {{l.b.compare(how, as_value(l.b, p.x, p), as_value(l.b, p.y, p)), {}}};
  };
}

LayerFn unary(Value (*f)(Builder&, Value)) {
  return [=](Layer& l, const Call& call) -> Tensors { return {{f(l.b, call.one().value), {}}}; };
}

// The same function by another door: an activation.
LayerFn activation(const char* name) {
  return [=](Layer& l, const Call& call) -> Tensors {
    return {{(*registry().activations.find(name))(l.b, l.config, call.one().value), {}}};
  };
}

Value logical(Builder& b, Value v) { return b.dtype(v) == DType::Bool ? v : b.compare("ne", v, 0.0); }

LayerFn logical_pair(WithValues f) {
  return [=](Layer& l, const Call& call) -> Tensors {
    Pair p = read_pair(l, call);
    return {{f(l.b, logical(l.b, as_value(l.b, p.x, p)), logical(l.b, as_value(l.b, p.y, p))), {}}};
  };
}

Tensors logical_not(Layer& l, const Call& call) { return {{l.b.logical_not(logical(l.b, call.one().value)), {}}}; }

Tensors where(Layer& l, const Call& call) {
  Builder& b = l.b;
  const Value condition = call.arg(0, "condition").value;
  Value x = call.arg(1, "x1").value, y = call.arg(2, "x2").value;
  if (!x && !y) b.fail(ErrorKind::Unsupported, "ops.where with two numbers has no lowering.");
  const DType dtype = x && y ? promoted(b.dtype(x), b.dtype(y)) : b.dtype(x ? x : y);
  x = x ? b.cast(x, dtype) : b.constant(number_at(l, call, "1", "x1"), dtype);
  y = y ? b.cast(y, dtype) : b.constant(number_at(l, call, "2", "x2"), dtype);
  return {{b.where(logical(b, condition), x, y), {}}};
}

Tensors clip(Layer& l, const Call& call) {
  l.expect_config({"x_min", "x_max"});
  return {{l.b.clamp(call.one().value, l.number("x_min"), l.number("x_max")), {}}};
}

Tensors power(Layer& l, const Call& call) {
  Pair p = read_pair(l, call);
  if (p.x && !p.y) return {{l.b.call("aten::pow.Tensor_Scalar", {{"self", p.x}, {"exponent", p.number}}), {}}};
  return {{l.b.call("aten::pow.Tensor_Tensor", {{"self", as_value(l.b, p.x, p)}, {"exponent", as_value(l.b, p.y, p)}}),
           {}}};
}

Tensors convert_to_tensor(Layer& l, const Call& call) {
  l.expect_config({"dtype", "sparse", "ragged"});
  const auto dtype = parse_dtype(l.text("dtype"));
  return {{dtype ? l.b.cast(call.one().value, *dtype) : call.one().value, {}}};
}

Tensors cast(Layer& l, const Call& call) {
  // The entry "dtype" of an operation is its own, not a policy.
  const auto dtype = parse_dtype(l.text("dtype"));
  if (!dtype)
    l.b.fail(ErrorKind::Unsupported, fmt::format("dtype '{}' is not one that midstream knows.", l.text("dtype")));
  return {{l.b.cast(call.one().value, *dtype), {}}};
}

using Reduction = Value (*)(Builder&, Value, std::vector<int64_t>, bool);

LayerFn reduction(Reduction f) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({"axis", "keepdims"});
    return {{f(l.b, call.one().value, l.ints("axis"), l.flag("keepdims")), {}}};
  };
}

Value sum(Builder& b, Value v, std::vector<int64_t> dims, bool keep) { return b.sum(v, std::move(dims), keep); }
Value amax(Builder& b, Value v, std::vector<int64_t> dims, bool keep) { return b.amax(v, std::move(dims), keep); }
Value mean(Builder& b, Value v, std::vector<int64_t> dims, bool keep) {
  return b.mean(is_floating(b.dtype(v)) ? v : b.cast(v, DType::Float32), std::move(dims), keep);
}
Value amin(Builder& b, Value v, std::vector<int64_t> dims, bool keep) {
  return b.call("aten::amin", {{"self", v}, {"dim", Dims(dims)}, {"keepdim", keep}});
}
Value any_or_all(Builder& b, const char* op, Value v, const std::vector<int64_t>& dims, bool keep) {
  v = logical(b, v);
  if (dims.empty() && !keep) return b.unary(op, v);
  return b.call(std::string(op) + ".dims",
                {{"self", v}, {"dim", dims.empty() ? Arg() : Arg(Dims(dims))}, {"keepdim", keep}});
}
Value any(Builder& b, Value v, std::vector<int64_t> dims, bool keep) {
  return any_or_all(b, "aten::any", v, dims, keep);
}
Value all(Builder& b, Value v, std::vector<int64_t> dims, bool keep) {
  return any_or_all(b, "aten::all", v, dims, keep);
}

void register_elementwise(Registry& r) {
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  add("Add", binary([](Builder& b, Value x, Value y) { return b.add(x, y); },
                    [](Builder& b, Value x, double y) { return b.add(x, y); }));
  add("Subtract", binary([](Builder& b, Value x, Value y) { return b.sub(x, y); },
                         [](Builder& b, Value x, double y) { return b.sub(x, y); }));
  add("Multiply", binary([](Builder& b, Value x, Value y) { return b.mul(x, y); },
                         [](Builder& b, Value x, double y) { return b.mul(x, y); }));
  add("TrueDivide", binary(true_divide, [](Builder& b, Value x, double y) { return b.div(x, y); }));
  add("Divide", binary(true_divide, [](Builder& b, Value x, double y) { return b.div(x, y); }));
  add("Maximum", binary([](Builder& b, Value x, Value y) { return math::maximum(b, x, y); }));
  add("Minimum", binary([](Builder& b, Value x, Value y) { return math::minimum(b, x, y); }));
  add("Power", power);
  add("Absolute", unary([](Builder& b, Value v) { return b.abs(v); }));
  add("Negative", unary([](Builder& b, Value v) { return b.neg(v); }));
  add("Exp", unary([](Builder& b, Value v) { return b.exp(v); }));
  add("Log", unary([](Builder& b, Value v) { return b.log(v); }));
  add("Sqrt", unary([](Builder& b, Value v) { return b.sqrt(v); }));
  add("Square", unary([](Builder& b, Value v) { return b.square(v); }));
  add("Sin", unary([](Builder& b, Value v) { return b.unary("aten::sin", v); }));
  add("Cos", unary([](Builder& b, Value v) { return b.unary("aten::cos", v); }));
  add("ZerosLike", unary([](Builder& b, Value v) { return b.zeros_like(v); }));
  add("OnesLike", unary([](Builder& b, Value v) { return b.ones_like(v); }));
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
                                                       {"HardSigmoid", "hard_sigmoid"}};
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

void register_operations(Registry& r) {
  register_elementwise(r);
  auto add = [&r](const char* name, LayerFn fn) { register_operation(r, name, std::move(fn)); };
  const std::map<const char*, const char*> comparisons{{"Equal", "eq"},     {"NotEqual", "ne"}, {"Less", "lt"},
                                                       {"LessEqual", "le"}, {"Greater", "gt"},  {"GreaterEqual", "ge"}};
  for (const auto& [name, how] : comparisons) add(name, comparison(how));
  add("LogicalAnd", logical_pair([](Builder& b, Value x, Value y) { return b.logical_and(x, y); }));
  add("LogicalOr", logical_pair([](Builder& b, Value x, Value y) { return b.logical_or(x, y); }));
  add("LogicalNot", logical_not);
  add("Any", reduction(any));
  add("All", reduction(all));
  add("Sum", reduction(sum));
  add("Mean", reduction(mean));
  add("Max", reduction(amax));
  add("Amax", reduction(amax));
  add("Min", reduction(amin));
  add("Amin", reduction(amin));
}

}  // namespace midstream::keras
