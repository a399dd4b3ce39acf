// Elementwise ops. One-to-one functions are rows of a table; what differs at ties, zeros or edges is in lower/math.
#include "lower/math/elementwise.h"

#include <cmath>

#include "lower/math/activations.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

struct Row {
  const char* tf;
  const char* aten;
};

constexpr Row kUnary[] = {{"Abs", "aten::abs"},
                          {"Acos", "aten::acos"},
                          {"Acosh", "aten::acosh"},
                          {"Angle", "aten::angle"},
                          {"Asin", "aten::asin"},
                          {"Asinh", "aten::asinh"},
                          {"Atan", "aten::atan"},
                          {"Atanh", "aten::atanh"},
                          {"BesselI0", "aten::special_i0"},
                          {"BesselI0e", "aten::special_i0e"},
                          {"BesselI1", "aten::special_i1"},
                          {"BesselI1e", "aten::special_i1e"},
                          {"Ceil", "aten::ceil"},
                          {"ComplexAbs", "aten::abs"},
                          {"Conj", "aten::conj_physical"},
                          {"Cos", "aten::cos"},
                          {"Cosh", "aten::cosh"},
                          {"Digamma", "aten::digamma"},
                          {"Erf", "aten::erf"},
                          {"Erfc", "aten::erfc"},
                          {"Erfinv", "aten::erfinv"},
                          {"Exp", "aten::exp"},
                          {"Expm1", "aten::expm1"},
                          {"Floor", "aten::floor"},
                          {"Imag", "aten::imag"},
                          {"Inv", "aten::reciprocal"},
                          {"Invert", "aten::bitwise_not"},
                          {"IsFinite", "aten::isfinite"},
                          {"IsInf", "aten::isinf"},
                          {"IsNan", "aten::isnan"},
                          {"Lgamma", "aten::lgamma"},
                          {"Log", "aten::log"},
                          {"Log1p", "aten::log1p"},
                          {"Ndtri", "aten::special_ndtri"},
                          {"Real", "aten::real"},
                          {"Reciprocal", "aten::reciprocal"},
                          {"Rint", "aten::round"},
                          {"Sign", "aten::sign"},
                          {"Sin", "aten::sin"},
                          {"Sinh", "aten::sinh"},
                          {"Sqrt", "aten::sqrt"},
                          {"Tan", "aten::tan"}};

// Functions that Keras' layers use too.
struct Shared {
  const char* tf;
  Value (*fn)(Builder&, Value);
};
constexpr Shared kShared[] = {{"Relu", math::relu},         {"Relu6", math::relu6},     {"Rsqrt", math::rsqrt},
                              {"Selu", math::selu},         {"Sigmoid", math::sigmoid}, {"Softplus", math::softplus},
                              {"Softsign", math::softsign}, {"Tanh", math::tanh}};

void round_op(Op& op) {  // half to even in both; integers stay
  op.expect_attrs({});
  Value x = op.input(0);
  op.output(is_floating(op.b.dtype(x)) ? op.b.unary("aten::round", x) : x);
}

void neg(Op& op) {
  op.expect_attrs({});
  if (!op.is_host(0)) return op.output(op.b.neg(op.input(0)));
  HostInts h = op.host(0);
  for (Int& i : h.values) i = Int(0) - i;
  op.output(h);
}

void square(Op& op) {
  op.expect_attrs({});
  op.output(op.b.square(op.input(0)));
}

void elu(Op& op) {
  op.expect_attrs({});
  op.output(math::elu(op.b, op.input(0)));
}

void leaky_relu(Op& op) {
  op.expect_attrs({"alpha"});
  op.output(math::leaky_relu(op.b, op.input(0), op.number("alpha", 0.2F)));
}

// --- two inputs

using IntFn = std::function<Int(const Int&, const Int&)>;
using ValueFn = std::function<Value(Builder&, Value, Value)>;

// Host integers through `host`, tensors through `tensor`.
OpFn binary(IntFn host, ValueFn tensor) {
  return [host = std::move(host), tensor = std::move(tensor)](Op& op) {
    op.expect_attrs({});
    if (host)
      if (auto folded = fold_binary(op, host)) return op.output(*folded);
    op.output(tensor(op.b, op.input(0), op.input(1)));
  };
}

ValueFn aten(const char* name) {
  return [name](Builder& b, Value x, Value y) { return b.call(name, {{"self", x}, {"other", y}}); };
}

Value rounded_div(Builder& b, Value x, Value y, const char* mode) {
  return b.call("aten::div.Tensor_mode", {{"self", x}, {"other", y}, {"rounding_mode", mode}});
}

Value div(Builder& b, Value x, Value y) {  // of integers: as C divides
  return is_integral(b.dtype(x)) ? rounded_div(b, x, y, "trunc") : b.div(x, y);
}

void pow_op(Op& op) {
  op.expect_attrs({});
  Value x = op.input(0);
  if (op.is_constant(1) && op.rank(1) == 0 && is_floating(op.b.dtype(x)))
    return op.output(op.b.call("aten::pow.Tensor_Scalar", {{"self", x}, {"exponent", op.constant(1).to_double()[0]}}));
  op.output(op.b.call("aten::pow.Tensor_Tensor", {{"self", x}, {"exponent", op.input(1)}}));
}

Value squared_difference(Builder& b, Value x, Value y) { return b.square(b.sub(x, y)); }

// 0 where y is 0, even for an infinite or NaN x; the gradient of y stays x there.
Value mul_no_nan(Builder& b, Value x, Value y) {
  Value hides = b.logical_and(b.compare("eq", y, 0.0), b.logical_not(b.unary("aten::isfinite", x)));
  return b.mul(b.where(hides, b.zeros_like(x), x), y);
}

// x / y, x log(y), x log(1 + y): 0 where x is 0, whatever y is, and without gradient there (aten::xlogy has one).
Value nothing_of_zero(Builder& b, Value x, Value y, const ValueFn& f) {
  Value zero = b.compare("eq", x, 0.0);
  return b.where(zero, b.zeros_like(x), f(b, x, b.where(zero, b.ones_like(y), y)));
}
ValueFn of_zero(ValueFn f) {
  return [f = std::move(f)](Builder& b, Value x, Value y) { return nothing_of_zero(b, x, y, f); };
}

void add_n(Op& op) {
  op.expect_attrs({});
  Value sum = op.input(0);
  for (size_t i = 1; i < op.size(); ++i) sum = op.b.add(sum, op.input(i));
  op.output(sum);
}

void clip_by_value(Op& op) {
  op.expect_attrs({});
  if (op.is_constant(1) && op.is_constant(2) && op.rank(1) == 0 && op.rank(2) == 0)
    return op.output(op.b.clamp(op.input(0), op.constant(1).to_double()[0], op.constant(2).to_double()[0]));
  op.output(op.b.call("aten::clamp.Tensor", {{"self", op.input(0)}, {"min", op.input(1)}, {"max", op.input(2)}}));
}

void complex_op(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("aten::complex", {{"real", op.input(0)}, {"imag", op.input(1)}}));
}

void binaries(Registry& r) {
  const auto plus = [](const Int& a, const Int& b) { return a + b; };
  const auto times = [](const Int& a, const Int& b) { return a * b; };
  const auto minus = [](const Int& a, const Int& b) { return a - b; };
  const ValueFn add = [](Builder& b, Value x, Value y) { return b.add(x, y); };
  r.tf("Add", binary(plus, add));
  r.tf("AddV2", binary(plus, add));
  r.tf("Sub", binary(minus, [](Builder& b, Value x, Value y) { return b.sub(x, y); }));
  r.tf("Mul", binary(times, [](Builder& b, Value x, Value y) { return b.mul(x, y); }));
  r.tf("Div", binary(nullptr, div));
  r.tf("RealDiv", binary(nullptr, div));
  r.tf("DivNoNan", binary(nullptr, [](Builder& b, Value x, Value y) { return math::divide_no_nan(b, x, y); }));
  r.tf("FloorDiv", binary(floor_div, [](Builder& b, Value x, Value y) { return rounded_div(b, x, y, "floor"); }));
  r.tf("TruncateDiv", binary(nullptr, [](Builder& b, Value x, Value y) { return rounded_div(b, x, y, "trunc"); }));
  r.tf("FloorMod", binary(mod, aten("aten::remainder.Tensor")));
  r.tf("Mod", binary(nullptr, aten("aten::fmod.Tensor")));
  r.tf("TruncateMod", binary(nullptr, aten("aten::fmod.Tensor")));
  r.tf("Maximum", binary([](const Int& a, const Int& b) { return max(a, b); },
                         [](Builder& b, Value x, Value y) { return math::maximum(b, x, y); }));
  r.tf("Minimum", binary([](const Int& a, const Int& b) { return min(a, b); },
                         [](Builder& b, Value x, Value y) { return math::minimum(b, x, y); }));
  r.tf("SquaredDifference", binary(nullptr, squared_difference));
  r.tf("MulNoNan", binary(nullptr, mul_no_nan));
  r.tf("Xdivy", binary(nullptr, of_zero([](Builder& b, Value x, Value y) { return b.div(x, y); })));
  r.tf("Xlogy", binary(nullptr, of_zero([](Builder& b, Value x, Value y) { return b.mul(x, b.log(y)); })));
  r.tf("Xlog1py",
       binary(nullptr, of_zero([](Builder& b, Value x, Value y) { return b.mul(x, b.unary("aten::log1p", y)); })));
  r.tf("Atan2", binary(nullptr, aten("aten::atan2")));
  r.tf("Igamma", binary(nullptr, aten("aten::igamma")));
  r.tf("Igammac", binary(nullptr, aten("aten::igammac")));
  r.tf("NextAfter", binary(nullptr, aten("aten::nextafter")));
  r.tf("BitwiseAnd", binary(nullptr, aten("aten::bitwise_and.Tensor")));
  r.tf("BitwiseOr", binary(nullptr, aten("aten::bitwise_or.Tensor")));
  r.tf("BitwiseXor", binary(nullptr, aten("aten::bitwise_xor.Tensor")));
  r.tf("LeftShift", binary(nullptr, aten("aten::bitwise_left_shift.Tensor")));
  r.tf("RightShift", binary(nullptr, aten("aten::bitwise_right_shift.Tensor")));
}

}  // namespace

void register_elementwise(Registry& r) {
  for (const Row& row : kUnary)
    r.tf(row.tf, [name = row.aten](Op& op) {
      op.expect_attrs({});
      op.output(op.b.unary(name, op.input(0)));
    });
  for (const Shared& row : kShared)
    r.tf(row.tf, [fn = row.fn](Op& op) {
      op.expect_attrs({});
      op.output(fn(op.b, op.input(0)));
    });
  r.tf("Round", round_op);
  r.tf("Neg", neg);
  r.tf("Square", square);
  r.tf("Elu", elu);
  r.tf("LeakyRelu", leaky_relu);
  r.tf("Pow", pow_op);
  r.tf("AddN", add_n);
  r.tf("AccumulateNV2", [](Op& op) {
    op.expect_attrs({"shape"});
    Value sum = op.input(0);
    for (size_t i = 1; i < op.size(); ++i) sum = op.b.add(sum, op.input(i));
    op.output(sum);
  });
  r.tf("ClipByValue", clip_by_value);
  r.tf("Complex", complex_op);
  binaries(r);
}

}  // namespace midstream::tensorflow
