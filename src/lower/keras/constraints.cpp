// Keras' weight constraints: what a weight is replaced with after each step.
#include <algorithm>

#include "lower/keras/config.h"
#include "lower/keras/training.h"
#include "lower/math/elementwise.h"
#include "lower/registry.h"

namespace midstream::keras {

namespace {

std::vector<int64_t> axes(const json& config) {
  if (!has(config, "axis")) return {0};
  const json& axis = config.at("axis");
  if (axis.is_array()) return axis.get<std::vector<int64_t>>();
  return {axis.get<int64_t>()};
}

Value norms(Builder& b, const json& config, Value w) { return b.sqrt(b.sum(b.square(w), axes(config), true)); }

// w * (desired / (epsilon + norms))
Value scaled(Builder& b, const Rules& rules, Value w, Value desired, Value norm) {
  return b.mul(w, b.div(desired, b.add(norm, rules.epsilon)));
}

Value max_norm(Builder& b, const json& config, const Rules& rules, Value w) {
  Value norm = norms(b, config, w);
  double limit = number(config, "max_value", has(config, "m") ? number(config, "m", 2) : 2);
  return scaled(b, rules, w, b.clamp(norm, 0.0, limit), norm);
}

Value min_max_norm(Builder& b, const json& config, const Rules& rules, Value w) {
  Value norm = norms(b, config, w);
  double rate = number(config, "rate", 1.0);
  Value inside = b.clamp(norm, number(config, "min_value", 0.0), number(config, "max_value", 1.0));
  Value desired = b.add(b.mul(inside, rate), b.mul(norm, 1.0 - rate));
  return scaled(b, rules, w, desired, norm);
}

Value non_neg(Builder& b, const json&, const Rules&, Value w) { return math::maximum(b, w, 0.0); }

Value unit_norm(Builder& b, const json& config, const Rules& rules, Value w) {
  return b.div(w, b.add(norms(b, config, w), rules.epsilon));
}

// Keras 1 and 2: kernels [n, n, channels, filters] that are the same along square rings around the middle. A ring has
// the value on the kernel's diagonal that Keras takes for it, which is not in the ring itself.
Value radial(Builder& b, const json&, const Rules&, Value w) {
  const Dims dims = b.dims(w);
  if (dims.size() != 4 || dims[0] != dims[1] || dims[0] < 2)
    b.fail(ErrorKind::Mismatch,
           "RadialConstraint is for kernels [n, n, channels, filters] with n > 1, not for " + to_string(dims) + ".");
  const int64_t n = dims[0], middle = n / 2, odd = n % 2;
  auto ring = [&](int64_t at) { return at < middle ? middle - 1 + odd - at : at - middle; };
  std::vector<int64_t> from;
  for (int64_t row = 0; row < n; ++row)
    for (int64_t column = 0; column < n; ++column) {
      const int64_t r = std::max(ring(row), ring(column)), diagonal = r == 0 ? middle - 1 : middle + r - odd;
      from.push_back(diagonal * n + diagonal);
    }
  Value index = b.constant(Array::of<int64_t>(DType::Int64, {n * n}, std::move(from)));
  Value rows = b.reshape(w, {n * n, dims[2], dims[3]});
  return b.reshape(b.call("aten::index_select", {{"self", rows}, {"dim", 0}, {"index", index}}), b.sizes(w));
}

}  // namespace

void register_constraints(Registry& r) {
  for (const char* name : {"MaxNorm", "max_norm", "maxnorm"}) r.constraints.add(name, max_norm);
  for (const char* name : {"MinMaxNorm", "min_max_norm"}) r.constraints.add(name, min_max_norm);
  for (const char* name : {"NonNeg", "non_neg", "nonneg"}) r.constraints.add(name, non_neg);
  for (const char* name : {"RadialConstraint", "radial_constraint"}) r.constraints.add(name, radial);
  for (const char* name : {"UnitNorm", "unit_norm", "unitnorm"}) r.constraints.add(name, unit_norm);
}

}  // namespace midstream::keras
