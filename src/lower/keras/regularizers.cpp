// Keras' weight regularizers: a scalar penalty of one weight.
#include "lower/keras/config.h"
#include "lower/keras/training.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

double factor(const json& config, const char* key, double otherwise, const Rules& rules) {
  double value = number(config, key, otherwise);
  return rules.float32_factors ? static_cast<double>(static_cast<float>(value)) : value;
}

Value absolute(Builder& b, Value w, double by) { return b.mul(b.sum(b.abs(w), {}), by); }
Value squares(Builder& b, Value w, double by) { return b.mul(b.sum(b.square(w), {}), by); }

Value l1(Builder& b, const json& config, const Rules& rules, Value w) {
  return absolute(b, w, factor(config, "l1", 0.01, rules));
}

Value l2(Builder& b, const json& config, const Rules& rules, Value w) {
  return squares(b, w, factor(config, "l2", 0.01, rules));
}

Value l1_l2(Builder& b, const json& config, const Rules& rules, Value w) {
  double one = factor(config, "l1", 0.0, rules), two = factor(config, "l2", 0.0, rules);
  Value sum;
  if (one != 0) sum = absolute(b, w, one);
  if (two != 0) sum = sum ? b.add(sum, squares(b, w, two)) : squares(b, w, two);
  return sum ? sum : b.constant(0.0, b.dtype(w));
}

Value orthogonal(Builder& b, const json& config, const Rules& rules, Value w) {
  if (b.rank(w) != 2) b.fail(ErrorKind::Mismatch, "an orthogonal regularizer wants a weight of rank 2.");
  bool rows = text(config, "mode", "rows") == "rows";
  int64_t axis = rows ? 1 : 0, size = b.dims(w)[rows ? 0 : 1];
  Value unit;
  if (rules.floored_norm) {
    unit = math::l2_normalize(b, w, axis, 1e-12);
  } else {
    Value inverse = math::rsqrt(b, b.sum(b.square(w), {axis}, true));
    unit = b.mul(w, math::minimum(b, inverse, 1.0 / rules.epsilon));
  }
  Value turned = b.permute(unit, {1, 0});
  Value product = rows ? b.matmul(unit, turned) : b.matmul(turned, unit);
  Value eye = b.call("aten::eye", {{"n", size}, {"dtype", b.dtype(w)}});
  Value off_diagonal = b.mul(product, b.rsub(1.0, eye));
  double pairs = static_cast<double>(size) * (static_cast<double>(size) - 1.0) / 2.0;
  return b.mul(b.sum(b.abs(off_diagonal), {}), factor(config, "factor", 0.01, rules) * 0.5 / pairs);
}

}  // namespace

void register_regularizers(Registry& r) {
  for (const char* name : {"L1", "l1"}) r.regularizers.add(name, l1);
  for (const char* name : {"L1L2", "l1_l2"}) r.regularizers.add(name, l1_l2);
  for (const char* name : {"L2", "l2"}) r.regularizers.add(name, l2);
  for (const char* name : {"OrthogonalRegularizer", "orthogonal_regularizer"}) r.regularizers.add(name, orthogonal);
}

}  // namespace midstream::keras
