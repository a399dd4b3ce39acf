#include "lower/math/elementwise.h"

namespace midstream::math {

namespace {

// A NaN in x is kept, as TensorFlow's kernels do (a NaN in y fails the comparison and is taken by itself).
Value pick(Builder& b, const std::string& how, Value x, Value y) {
  Value keep_x = b.logical_or(b.compare(how, x, y), b.call("aten::isnan", {{"self", x}}));
  return b.where(keep_x, x, y);
}

}  // namespace

Value maximum(Builder& b, Value x, Value y) {
  return is_floating(b.dtype(x)) ? pick(b, "ge", x, y) : b.call("aten::maximum", {{"self", x}, {"other", y}});
}

Value minimum(Builder& b, Value x, Value y) {
  return is_floating(b.dtype(x)) ? pick(b, "le", x, y) : b.call("aten::minimum", {{"self", x}, {"other", y}});
}

Value maximum(Builder& b, Value x, double y) { return b.clamp(x, y, std::nullopt); }
Value minimum(Builder& b, Value x, double y) { return b.clamp(x, std::nullopt, y); }

Value divide_no_nan(Builder& b, Value x, Value y) {
  Value zero = b.compare("eq", y, 0.0);
  Value safe = b.where(zero, b.ones_like(y), y);
  return b.where(zero, b.zeros_like(x), b.div(x, safe));
}

Value rsqrt(Builder& b, Value x) { return b.unary("aten::rsqrt", x); }

Value l2_normalize(Builder& b, Value x, int64_t axis, double epsilon) {
  return l2_normalize(b, x, std::vector<int64_t>{axis}, epsilon);
}

Value l2_normalize(Builder& b, Value x, const std::vector<int64_t>& axes, double epsilon) {
  Value norm = maximum(b, b.sum(b.square(x), axes, true), epsilon);
  return b.mul(x, rsqrt(b, norm));
}

Value l2_normalize_bounded(Builder& b, Value x, const std::vector<int64_t>& axes, double bound) {
  return b.mul(x, minimum(b, rsqrt(b, b.sum(b.square(x), axes, true)), bound));
}

Value where_number(Builder& b, Value condition, Value x, double otherwise) {
  return b.where(condition, x, b.constant(otherwise, b.dtype(x)));
}

}  // namespace midstream::math
