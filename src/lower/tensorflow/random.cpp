// Random ops. TF1's and Keras 2's stateful ones have no state in any file: they draw from PyTorch's generator.
#include "lower/math/random.h"

#include <cmath>

#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

#define STATEFUL "seed", "seed2"

void uniform(Op& op) {
  op.expect_attrs({STATEFUL});
  op.output(math::random_uniform(op.b, op.ints(0), {}, op.dtype("dtype")));
}

void normal(Op& op) {
  op.expect_attrs({STATEFUL});
  op.output(math::random_normal(op.b, op.ints(0), {}, op.dtype("dtype")));
}

// A normal variable between -2 and 2: the quantile function of a uniform one between the two tails.
void truncated_normal(Op& op) {
  op.expect_attrs({STATEFUL});
  Builder& b = op.b;
  const double tail = 0.5 * std::erfc(2 / std::sqrt(2.0));
  Value u = math::random_uniform(b, op.ints(0), {}, op.dtype("dtype"));
  Value p = b.add(b.mul(u, 1 - 2 * tail), tail);
  op.output(b.clamp(b.unary("aten::special_ndtri", p), -2, 2));
}

void uniform_int(Op& op) {  // shape, minval, maxval
  op.expect_attrs({STATEFUL});
  op.output(op.b.call(
      "aten::randint.low",
      {{"low", op.int_value(1)}, {"high", op.int_value(2)}, {"size", op.ints(0)}, {"dtype", op.input_dtype(1)}}));
}

void shuffle(Op& op) {  // rows in a random order
  op.expect_attrs({STATEFUL});
  Value x = op.input(0);
  Value order = op.b.call("aten::randperm", {{"n", op.b.size(x, 0)}});
  op.output(op.b.call("aten::index_select", {{"self", x}, {"dim", 0}, {"index", order}}));
}

// --- stateless: the numbers follow from the seed, as in TensorFlow.

void stateless_uniform(Op& op) {
  op.expect_attrs({});
  op.output(math::random_uniform(op.b, op.ints(0), op.b.cast(op.input(1), DType::Int64), op.dtype("dtype")));
}

void stateless_normal(Op& op) {
  op.expect_attrs({});
  op.output(math::random_normal(op.b, op.ints(0), op.b.cast(op.input(1), DType::Int64), op.dtype("dtype")));
}

}  // namespace

void register_random(Registry& r) {
  r.tf("RandomUniform", uniform);
  r.tf("RandomStandardNormal", normal);
  r.tf("TruncatedNormal", truncated_normal);
  r.tf("RandomUniformInt", uniform_int);
  r.tf("RandomShuffle", shuffle);
  r.tf("StatelessRandomUniform", stateless_uniform);
  r.tf("StatelessRandomNormal", stateless_normal);
}

#undef STATEFUL

}  // namespace midstream::tensorflow
