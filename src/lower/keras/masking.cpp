// Masking: steps whose features all equal a value are skipped by the layers after it.
#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// A number, or one that Keras has saved as a tensor or array.
double mask_value(const Layer& l) {
  if (!l.has("mask_value") || !l.config.at("mask_value").is_object()) return l.number("mask_value", 0);
  const json& value = l.config.at("mask_value").value("config", json::object()).value("value", json());
  if (!value.is_number())
    l.b.fail(ErrorKind::Unsupported, "mask_value is " + l.config.at("mask_value").dump() + ", wanted one number.");
  return value.get<double>();
}

Tensors masking(Layer& l, const Call& call) {
  l.expect_config({"mask_value"});
  Builder& b = l.b;
  const Value x = call.one().value;
  // Keras 3's cast takes the number through float32: in a float64 model 0.1 is not the 0.1 of the data.
  const double number = l.host().keras3 ? math::through_float32(b, x, mask_value(l)) : mask_value(l);
  Value differs = b.compare("ne", x, number);
  Value mask = b.call("aten::any.dim", {{"self", differs}, {"dim", -1}});
  return {{math::where_number(b, b.unsqueeze(mask, -1), x, 0), mask}};
}

}  // namespace

void register_masking(Registry& r) { r.layer("Masking", masking); }

}  // namespace midstream::keras
