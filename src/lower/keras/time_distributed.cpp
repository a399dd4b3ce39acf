// TimeDistributed: one layer applied to every step of a sequence.
//
// The steps join the batch axis and the layer runs once. That is Keras 2's own way for all layers; Keras 3 calls the
// layer step by step, which differs where a layer mixes the samples of a batch (BatchNormalization) or draws from a
// followed random stream (one draw per step): such layers are called step by step here too.
#include <set>

#include "lower/keras/host.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Does the layer, or one inside it, see more of a call than one sample at a time?
bool depends_on_batch(const json& layer) {
  if (layer.is_array()) {
    for (const json& item : layer)
      if (depends_on_batch(item)) return true;
    return false;
  }
  if (!layer.is_object()) return false;
  static const std::set<std::string> kMixing{"BatchNormalization"};
  if (auto name = layer.find("class_name"); name != layer.end() && name->is_string() && kMixing.contains(*name))
    return true;
  for (const auto& [key, value] : layer.items()) {
    if (key.ends_with("_initializer")) continue;
    if (key == "seed" && value.is_number_integer()) return true;
    if (depends_on_batch(value)) return true;
  }
  return false;
}

Call inner_call(Value x, Value mask) {
  Call call;
  call.inputs = {{x, mask}};
  call.args = {call.inputs};
  return call;
}

Value joined(Builder& b, Value v) {
  return b.call("aten::flatten.using_ints", {{"self", v}, {"start_dim", 0}, {"end_dim", 1}});
}

// [batch * time, ...] -> [batch, time, ...]
Value parted(Builder& b, Value v, const Int& batch, const Int& time) {
  Ints shape = b.sizes(v);
  shape.erase(shape.begin());
  shape.insert(shape.begin(), {batch, time});
  return b.reshape(v, shape);
}

Tensor all_at_once(Layer& l, const json& layer, const Tensor& in) {
  Builder& b = l.b;
  // A Dense layer works on the last axis, however many there are before it.
  if (layer.at("class_name") == "Dense" && !layer.at("config").contains("activity_regularizer"))
    return {l.lower_child("layer", layer, inner_call(in.value, {}))[0].value, in.mask};
  const Int batch = b.size(in.value, 0), time = b.size(in.value, 1);
  const Tensor out =
      l.lower_child("layer", layer, inner_call(joined(b, in.value), in.mask ? joined(b, in.mask) : Value{}))[0];
  Value mask = in.mask;
  if (!l.host().keras3 && out.mask) mask = parted(b, out.mask, batch, time);
  if (!l.host().keras3 && !out.mask && mask)
    while (b.rank(mask) > 2) mask = b.call("aten::any.dim", {{"self", mask}, {"dim", -1}});
  return {parted(b, out.value, batch, time), mask};
}

Tensor step_by_step(Layer& l, const json& layer, const Tensor& in) {
  Builder& b = l.b;
  const int64_t time = b.dims(in.value).at(1);
  if (time == kUnknown)
    b.fail(ErrorKind::Unsupported,
           "its layer depends on the whole batch or on a seeded random stream, and the number of steps is not fixed.",
           "Keras calls such a layer once per step: give the model's input a fixed time dimension.");
  Values outputs;
  for (int64_t t = 0; t < time; ++t) {
    Value mask = in.mask ? b.select(in.mask, 1, t) : Value{};
    outputs.push_back(l.lower_child("layer", layer, inner_call(b.select(in.value, 1, t), mask))[0].value);
  }
  return {b.stack(outputs, 1), in.mask};
}

Tensors time_distributed(Layer& l, const Call& call) {
  l.expect_config({"layer"});
  json layer = l.config.at("layer");
  const bool keras3 = l.host().keras3;
  // Keras 3 runs the inner layer's call() alone, and activity regularizers are added around it.
  if (keras3) layer["config"].erase("activity_regularizer");
  Tensor in = call.one();
  if (Value mask = call.arg(1, "mask").value) in.mask = mask;
  if (l.b.rank(in.value) < 3)
    l.b.fail(ErrorKind::Mismatch, "its input is " + to_string(l.b.dims(in.value)) + ", wanted [batch, time, ...].");
  return {keras3 && depends_on_batch(layer) ? step_by_step(l, layer, in) : all_at_once(l, layer, in)};
}

}  // namespace

void register_time_distributed(Registry& r) { r.layer("TimeDistributed", time_distributed); }

}  // namespace midstream::keras
