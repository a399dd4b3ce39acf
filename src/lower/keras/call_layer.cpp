// What Keras' Layer.__call__ does around every layer's call, and layers inside layers.
#include <fmt/format.h>

#include "lower/keras/host.h"
#include "lower/keras/lower_model.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

void autocast(Builder& b, DType dtype, Tensors& tensors) {
  for (Tensor& t : tensors)
    if (t.value && b.type(t.value).kind == Kind::Tensor && is_floating(b.dtype(t.value)))
      t.value = b.cast(t.value, dtype);
}

}  // namespace

void refuse_strings(Builder& b, Value v, const std::string& what) {
  for (const Input& input : b.graph().inputs)
    if (input.text && input.value == v)
      b.fail(ErrorKind::Unsupported, fmt::format("'{}' is an input of strings, which {} cannot take.", input.name, what),
             "Strings go into StringLookup, TextVectorization or Hashing.");
}

std::optional<bool> training_option(const LayerHost& host, const json& options) {
  if (host.keras3) return std::nullopt;
  auto it = options.find("training");
  if (it == options.end() || it->is_null()) return std::nullopt;
  return it->is_boolean() ? it->get<bool>() : it->get<int>() != 0;
}

void add_activity_loss(Layer& l, const json& rule, Value output) {
  const std::string name = rule.at("class_name").get<std::string>();
  const RegularizerFn* fn = registry().regularizers.find(name);
  if (!fn) l.b.fail(ErrorKind::Unsupported, fmt::format("activity regularizer '{}' has no lowering.", name));
  const Rules rules = rules_for(l.host().keras3, l.b.dtype(output));
  Value penalty = (*fn)(l.b, rule.value("config", json::object()), rules, output);
  if (l.b.rank(output) > 0) {
    Value batch = l.b.cast(l.b.tensor_of(l.b.size(output, 0)), l.b.dtype(penalty));
    penalty = l.b.div(penalty, batch);
  }
  l.add_loss(penalty);
}

Tensors call_layer(Layer& layer, Call call) {
  const LayerFn* fn = registry().layers.find(layer.class_name);
  if (!fn) layer.b.fail(ErrorKind::Unsupported, fmt::format("keras.{} has no lowering yet.", layer.class_name));
  if (!registry().takes_strings.contains(layer.class_name))
    for (const Tensor& t : call.inputs) refuse_strings(layer.b, t.value, "keras." + layer.class_name);
  LayerHost::TrainingOverride override(layer.host(), training_option(layer.host(), call.options));
  call.options.erase("training");
  const DType dtype = layer.compute_dtype();
  if (is_floating(dtype) && !registry().keeps_input_dtype.contains(layer.class_name)) {
    autocast(layer.b, dtype, call.inputs);
    for (Tensors& arg : call.args) autocast(layer.b, dtype, arg);
    for (auto& [name, arg] : call.kwargs) autocast(layer.b, dtype, arg);
  }
  Tensors outputs = (*fn)(layer, call);
  const bool inner = layer.host().keras3 && registry().inner_activity_losses.contains(layer.class_name);
  if (layer.has("activity_regularizer") && !inner)
    for (const Tensor& out : outputs) add_activity_loss(layer, layer.config.at("activity_regularizer"), out.value);
  return outputs;
}

Tensors Layer::lower_child(const std::string& attribute, const json& layer, const Call& call) {
  const std::string inner_class = layer.at("class_name").get<std::string>();
  const json inner_config = layer.value("config", json::object());
  if (is_model_class(inner_class)) return lower_inner_model(*this, attribute, layer, call);
  if (!registry().layers.find(inner_class))
    b.fail(ErrorKind::Unsupported, fmt::format("its inner layer keras.{} has no lowering yet.", inner_class));
  Layer inner = child(attribute, inner_config.value("name", attribute), inner_class, inner_config);
  Builder::At at(b, {inner.path, "keras." + inner_class});
  return call_layer(inner, call);
}

}  // namespace midstream::keras
