#include "lower/math/random.h"

#include "lower/math/elementwise.h"

namespace midstream::math {

namespace {

Value fresh(Builder& b, const std::string& op, const Ints& shape, DType dtype) {
  return b.call(op, {{"size", shape}, {"dtype", dtype}});
}

bool same_shape(Builder& b, Value x, const Ints& shape) {
  for (size_t i = 0; i < shape.size(); ++i) {
    Int size = b.size(x, static_cast<int64_t>(i));
    bool same = shape[i].is_constant() ? size.is_constant() && size.constant() == shape[i].constant()
                                       : !size.is_constant() && size.value() == shape[i].value();
    if (!same) return false;
  }
  return true;
}

}  // namespace

// TensorFlow wants int32 seeds, Keras keeps int64: floormod by int32's maximum less one.
Value seed_of_keras(Builder& b, Value state) {
  if (!state) return state;
  return b.call("aten::remainder.Scalar", {{"self", state}, {"other", int64_t{2147483646}}});
}

Value random_uniform(Builder& b, const Ints& shape, Value seed, DType dtype) {
  if (!seed) return fresh(b, "aten::rand", shape, dtype);
  return b.call("midstream::stateless_random_uniform", {{"size", shape}, {"seed", seed}, {"dtype", dtype}});
}

Value random_normal(Builder& b, const Ints& shape, Value seed, DType dtype) {
  if (!seed) return fresh(b, "aten::randn", shape, dtype);
  return b.call("midstream::stateless_random_normal", {{"size", shape}, {"seed", seed}, {"dtype", dtype}});
}

Value dropout(Builder& b, Value x, double rate, const Ints& noise_shape, Value seed) {
  if (seed)
    return b.call("midstream::stateless_dropout", {{"x", x}, {"rate", rate}, {"noise_shape", noise_shape}, {"seed", seed}});
  if (same_shape(b, x, noise_shape)) return b.call("aten::dropout", {{"input", x}, {"p", rate}, {"train", true}});
  Value keep = b.compare("ge", fresh(b, "aten::rand", noise_shape, b.dtype(x)), rate);
  return where_number(b, keep, b.mul(x, 1 / (1 - rate)), 0);
}

}  // namespace midstream::math
