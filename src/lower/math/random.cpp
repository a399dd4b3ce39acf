#include "lower/math/random.h"

#include <algorithm>

#include "lower/math/elementwise.h"

namespace midstream::math {

namespace {

Value fresh(Builder& b, const std::string& op, const Ints& shape, DType dtype) {
  return b.call(op, {{"size", shape}, {"dtype", dtype}});
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
  if (seed) {
    const Ints shape = noise_shape.empty() ? b.sizes(x) : noise_shape;
    return b.call("midstream::stateless_dropout", {{"x", x}, {"rate", rate}, {"noise_shape", shape}, {"seed", seed}});
  }
  if (noise_shape.empty()) return b.call("aten::dropout", {{"input", x}, {"p", rate}, {"train", true}});
  Value keep = b.compare("ge", fresh(b, "aten::rand", noise_shape, b.dtype(x)), rate);
  return where_number(b, keep, b.mul(x, 1 / (1 - rate)), 0);
}

Value channel_dropout(Builder& b, Value x_ncs, double rate, Value seed) {
  if (!seed) return b.call("aten::feature_dropout", {{"input", x_ncs}, {"p", rate}, {"train", true}});
  Ints shape(static_cast<size_t>(b.rank(x_ncs)), Int(1));
  for (size_t i = 0; i < 2; ++i) shape[i] = b.size(x_ncs, static_cast<int64_t>(i));
  return dropout(b, x_ncs, rate, shape, seed);
}

bool draws_numbers(const Block& block) {
  return std::any_of(block.nodes.begin(), block.nodes.end(), [](const auto& node) {
    return node->op.starts_with("midstream::stateless_") ||
           std::any_of(node->blocks.begin(), node->blocks.end(), draws_numbers);
  });
}

}  // namespace midstream::math
