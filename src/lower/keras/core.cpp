// Dense and the layers that only pass values on.
#include "lower/keras/host.h"
#include "lower/math/linear.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

int64_t last_size(const Layer& l, Value x) {
  const Dims dims = l.b.dims(x);
  if (dims.empty() || dims.back() == kUnknown)
    l.b.fail(ErrorKind::Mismatch, "the input's shape " + to_string(dims) + " does not say how long its last axis is.");
  return dims.back();
}

Tensors dense(Layer& l, const Call& call) {
  l.expect_config({"units", "activation", "use_bias"});
  Value x = call.one().value;
  const int64_t units = l.integer("units");
  Value kernel = l.weight("kernel", {last_size(l, x), units});
  Value bias = l.flag("use_bias", true) ? l.weight("bias", {units}) : Value{};
  return l.keep_mask(call, l.activation(math::linear(l.b, x, kernel, bias)));
}

Tensors identity(Layer& l, const Call& call) {
  l.expect_config({});
  return l.host().keras3 ? call.inputs : Tensors{{call.one().value, {}}};
}

// The penalty is that of L1L2 as activity regularizer.
Tensors activity_regularization(Layer& l, const Call& call) {
  l.expect_config({"l1", "l2"});
  const json penalty = {{"class_name", "L1L2"}, {"config", {{"l1", l.number("l1")}, {"l2", l.number("l2")}}}};
  add_activity_loss(l, penalty, call.one().value);
  return l.keep_mask(call, call.one().value);
}

}  // namespace

void register_core(Registry& r) {
  r.layer("ActivityRegularization", activity_regularization);
  r.layer("Dense", dense);
  r.layer("Identity", identity);
}

}  // namespace midstream::keras
