#include "lower/keras/optimizer_rule.h"

#include "base/error.h"

namespace midstream::keras {

Era era_of(const json& config) {
  std::string rules = text(config, "rules", "keras3");
  if (rules == "keras3") return Era::Keras3;
  if (rules == "tf_keras") return Era::Keras2;
  if (rules == "optimizer_v2" || rules == "keras2") return Era::Legacy;
  throw Error(ErrorKind::Internal, "optimizer", "has the unknown rules '" + rules + "'.");
}

double OptimizerRule::scalar_after(const std::string& name, int64_t, size_t) const {
  throw Error(ErrorKind::Internal, "optimizer/" + name, "does not follow from the number of steps.");
}

OptimizerRule::Prepared OptimizerRule::prepare(Builder& b, Value learning_rate, Value, const Values&,
                                               DType dtype) const {
  return {{b.cast(learning_rate, dtype)}, {}};
}

Value scatter_add(Builder& b, Value variable, const Gradient& g, Value values) {
  if (!g.is_slices()) return b.add(variable, values);
  return b.call("aten::index_add", {{"self", variable}, {"dim", 0}, {"index", g.indices}, {"source", values}});
}

Value dense(Builder& b, Value variable, const Gradient& g, Value values) {
  return g.is_slices() ? scatter_add(b, b.zeros_like(variable), g, values) : values;
}

Value dense(Builder& b, Value variable, const Gradient& g) { return dense(b, variable, g, g.values); }

Value at_occurrences(Builder& b, Value table, const Gradient& g) {
  if (!g.is_slices()) return table;
  return b.call("aten::index_select", {{"self", table}, {"dim", 0}, {"index", g.indices}});
}

Value only_hit_rows(Builder& b, const Gradient& g, Value updated, Value old) {
  if (!g.is_slices()) return updated;
  Value hit = b.full({b.size(old, 0)}, 0.0, DType::Bool);
  hit = b.call("aten::index_fill.int_Scalar", {{"self", hit}, {"dim", 0}, {"index", g.indices}, {"value", 1}});
  for (int64_t i = 1; i < b.rank(old); ++i) hit = b.unsqueeze(hit, -1);
  return b.where(hit, updated, old);
}

Value step_after(Builder& b, Value step, int64_t n, DType dtype) {
  Value later = b.call("aten::add.Scalar", {{"self", step}, {"other", n}});
  return b.cast(later, dtype);
}

Value power(Builder& b, double base, Value exponent) {
  return b.call("midstream::scalar_pow", {{"self", b.constant(base, b.dtype(exponent))}, {"exponent", exponent}});
}

Value exact_sqrt(Builder& b, Value v) { return b.unary("midstream::exact_sqrt", v); }

}  // namespace midstream::keras
