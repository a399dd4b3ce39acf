// The ones with a kernel of aten's own. Gradients at the kinks: aten::relu, hardtanh and hardsigmoid give 0 there and
// clamp gives 1, as TensorFlow's Relu, Relu6 and clip_by_value do; elu takes the negative branch's slope at 0.
#include "lower/math/activations.h"

#include "lower/math/elementwise.h"
#include "lower/math/layout.h"

namespace midstream::math {

Value relu(Builder& b, Value x) { return b.unary("aten::relu", x); }
Value relu6(Builder& b, Value x) { return b.call("aten::hardtanh", {{"self", x}, {"min_val", 0.0}, {"max_val", 6.0}}); }

Value relu(Builder& b, Value x, const ReluOptions& o) {
  auto limit = [&](double number) { return o.float32_limits ? through_float32(b, x, number) : number; };
  if (o.negative_slope != 0 && !o.max_value && o.threshold == 0) return leaky_relu(b, x, o.negative_slope);
  Value y;
  if (o.threshold != 0) {
    Value above = b.compare("gt", x, limit(o.threshold));
    y = where_number(b, above, x, 0);
  } else {
    y = o.max_value == 6.0 ? relu6(b, x) : relu(b, x);
  }
  if (o.max_value && !(o.max_value == 6.0 && o.threshold == 0)) y = b.clamp(y, 0.0, limit(*o.max_value));
  if (o.negative_slope == 0) return y;
  Value below = relu(b, o.threshold != 0 ? b.rsub(o.threshold, x) : b.neg(x));
  return b.sub(y, b.mul(below, o.negative_slope));
}

Value leaky_relu(Builder& b, Value x, double negative_slope) {
  return b.call("aten::leaky_relu", {{"self", x}, {"negative_slope", through_float32(b, x, negative_slope)}});
}

// Keras' composition has no gradient at 0; torch's prelu would give alpha there.
Value prelu(Builder& b, Value x, Value alpha) { return b.sub(relu(b, x), b.mul(alpha, relu(b, b.neg(x)))); }

Value elu(Builder& b, Value x, double alpha) { return b.call("aten::elu", {{"self", x}, {"alpha", alpha}}); }

// At 0 TensorFlow takes the positive branch's slope; aten::selu the other's. (The inner elu keeps the branch that is
// not taken finite, so that its zero gradient stays zero.)
Value selu(Builder& b, Value x) {
  constexpr double kAlpha = 1.6732632423543772848170429916717, kScale = 1.0507009873554804934193349852946;
  Value negative = b.mul(elu(b, x), kAlpha);
  return b.mul(b.where(b.compare("lt", x, 0.0), negative, x), kScale);
}

// maximum(x, 0) + alpha expm1(minimum(x, 0) / alpha): both ties pass the gradient, so that it is 2 at 0.
Value celu(Builder& b, Value x, double alpha) {
  Value low = minimum(b, x, 0.0);
  if (alpha != 1) low = b.div(low, alpha);
  Value negative = b.unary("aten::expm1", low);
  if (alpha != 1) negative = b.mul(negative, alpha);
  return b.add(maximum(b, x, 0.0), negative);
}

// In float64 TensorFlow still takes 1/sqrt(2) and 0.044715 through float32.
Value gelu_float64(Builder& b, Value x, bool approximate) {
  Value half = b.mul(x, 0.5);
  if (!approximate)
    return b.mul(half, b.unary("aten::erfc", b.mul(b.neg(x), through_float32(b, x, 0.7071067811865476))));
  Value cube = b.mul(b.mul(x, b.square(x)), through_float32(b, x, 0.044715));
  return b.mul(half, b.add(tanh(b, b.mul(b.add(x, cube), 0.7978845608028654)), 1.0));
}

Value gelu(Builder& b, Value x, bool approximate) {
  if (b.dtype(x) == DType::Float64) return gelu_float64(b, x, approximate);
  return b.call("aten::gelu", {{"self", x}, {"approximate", approximate ? "tanh" : "none"}});
}

Value sigmoid(Builder& b, Value x) { return b.unary("aten::sigmoid", x); }
Value tanh(Builder& b, Value x) { return b.unary("aten::tanh", x); }
Value silu(Builder& b, Value x) { return b.unary("aten::silu", x); }
Value mish(Builder& b, Value x) { return b.unary("aten::mish", x); }
Value log_sigmoid(Builder& b, Value x) { return b.unary("aten::log_sigmoid", x); }

// Above aten's default threshold of 20, log1p(exp(x)) - x is 2e-9: too coarse for float64. At 40 it is below its
// epsilon.
Value softplus(Builder& b, Value x) {
  if (b.dtype(x) != DType::Float64) return b.unary("aten::softplus", x);
  return b.call("aten::softplus", {{"self", x}, {"threshold", 40.0}});
}

Value softsign(Builder& b, Value x) { return b.div(x, b.add(b.abs(x), 1.0)); }

// aten's gradient of hardsigmoid holds 1/6 in float32 even for float64.
Value hard_sigmoid(Builder& b, Value x) {
  if (b.dtype(x) != DType::Float64) return b.unary("aten::hardsigmoid", x);
  return b.div(relu6(b, b.add(x, 3.0)), 6.0);
}
Value hard_sigmoid_keras2(Builder& b, Value x) { return b.clamp(b.add(b.mul(x, 0.2), 0.5), 0.0, 1.0); }
// aten::hardswish has another gradient at -3 and 3.
Value hard_silu(Builder& b, Value x) { return b.mul(x, hard_sigmoid(b, x)); }
Value hard_tanh(Builder& b, Value x) { return b.clamp(x, -1.0, 1.0); }

Value hard_shrink(Builder& b, Value x, double threshold) {
  return b.call("aten::hardshrink", {{"self", x}, {"lambd", threshold}});
}
Value soft_shrink(Builder& b, Value x, double threshold) {
  return b.call("aten::softshrink", {{"self", x}, {"lambd", threshold}});
}
Value tanh_shrink(Builder& b, Value x) { return b.sub(x, tanh(b, x)); }
Value threshold(Builder& b, Value x, double threshold, double otherwise) {
  return b.call("aten::threshold", {{"self", x}, {"threshold", threshold}, {"value", otherwise}});
}

Value squareplus(Builder& b, Value x, double bias) { return b.div(b.add(x, b.sqrt(b.add(b.square(x), bias))), 2.0); }

Value sparse_sigmoid(Builder& b, Value x) {
  Value one = b.constant(1.0, b.dtype(x)), zero = b.constant(0.0, b.dtype(x));
  Value inner = b.where(b.compare("ge", x, 1.0), one, b.mul(b.add(x, 1.0), 0.5));
  return b.where(b.compare("le", x, -1.0), zero, inner);
}

Value sparse_plus(Builder& b, Value x) {
  Value inner = b.where(b.compare("lt", x, 1.0), b.mul(b.square(b.add(x, 1.0)), 0.25), x);
  return b.where(b.compare("le", x, -1.0), b.zeros_like(x), inner);
}

Value glu(Builder& b, Value x, int64_t axis) { return b.call("aten::glu", {{"self", x}, {"dim", axis}}); }
Value softmax(Builder& b, Value x, int64_t axis) { return b.call("aten::softmax.int", {{"self", x}, {"dim", axis}}); }
Value log_softmax(Builder& b, Value x, int64_t axis) {
  return b.call("aten::log_softmax.int", {{"self", x}, {"dim", axis}});
}

// Martins and Astudillo's projection on the simplex, from the values sorted downwards.
Value sparsemax(Builder& b, Value x, int64_t axis) {
  axis = axis_of(b, x, axis);
  Value sorted = b.call_all("aten::sort", {{"self", x}, {"dim", axis}, {"descending", true}}).at(0);
  Value sums = b.call("aten::cumsum", {{"self", sorted}, {"dim", axis}});
  Value counts = b.cast(b.call("aten::arange", {{"end", b.size(x, axis)}}), b.dtype(x));
  counts = along_axis(b, b.add(counts, 1.0), axis, b.rank(x));
  Value support = b.compare("gt", b.sub(sorted, b.div(b.sub(sums, 1.0), counts)), 0.0);
  // The support is the first k of the sorted values; Keras sums the cumulative sums over it.
  Value k = b.sum(b.cast(support, b.dtype(x)), {axis}, true);
  Value total = b.sum(where_number(b, support, sums, 0), {axis}, true);
  Value tau = b.div(b.sub(total, 1.0), k);
  return maximum(b, b.sub(x, tau), 0.0);
}

}  // namespace midstream::math
