// See host.h.
#include "lower/keras/host.h"

#include <fmt/format.h>

#include <algorithm>

namespace midstream::keras {
namespace {

// The config entries that may hold the rule for a weight: "kernel_regularizer" for kernel; Keras calls the one of
// recurrent_kernel, depthwise_kernel and pointwise_kernel "recurrent_regularizer", ...
std::vector<std::string> rule_entries(const std::string& weight, const std::string& kind) {
  std::vector<std::string> out{weight + kind};
  if (weight.ends_with("_kernel")) out.push_back(weight.substr(0, weight.size() - 7) + kind);
  if (weight == "kernel") out.push_back("depthwise" + kind);  // Keras 3's name for DepthwiseConv2D's depthwise_kernel
  return out;
}

void take_rule(LayerRecord& layer, const WeightRecord& weight, const std::string& kind,
               std::vector<WeightRule>& rules) {
  for (const std::string& entry : rule_entries(weight.name, kind)) {
    auto it = layer.config.find(entry);
    if (it == layer.config.end()) continue;
    layer.used_entries.push_back(entry);
    if (!it->is_null()) rules.push_back({weight.variable, *it});
    return;
  }
}

void collect_trainable(const LayerRecord& layer, const Variables& variables, bool frozen_too,
                       std::vector<std::string>& out) {
  for (const WeightRecord& w : layer.weights)
    if (const Variable* v = variables.find(w.variable);
        v && (frozen_too ? w.trainable : v->trainable) && std::find(out.begin(), out.end(), w.variable) == out.end())
      out.push_back(w.variable);
  for (const LayerRecord* child : layer.children) collect_trainable(*child, variables, frozen_too, out);
}

}  // namespace

LayerRecord* LayerHost::find(const std::string& path) {
  auto it = by_path_.find(path);
  return it == by_path_.end() ? nullptr : it->second;
}

LayerRecord& LayerHost::layer(const std::string& path, const std::string& class_name, const json& config,
                              bool trainable, LayerRecord* parent, const std::string& attribute) {
  if (LayerRecord* known = find(path)) return *known;
  LayerRecord& record = records_.emplace_back();
  record.path = path;
  record.class_name = class_name;
  record.config = config.is_object() ? config : json::object();
  record.trainable = trainable;
  record.parent = parent;
  record.attribute = attribute;
  by_path_[path] = &record;
  (parent ? parent->children : roots_).push_back(&record);
  return record;
}

Value LayerHost::weight(Builder& b, LayerRecord& layer, const std::string& name, DType dtype, const Dims& dims,
                        bool trainable) {
  const std::string full_name = layer.path + "/" + name;
  Variables& variables = *b.graph().variables;
  Variable* variable = variables.find(full_name);
  if (variable && variable->source_dims != dims)
    b.fail(ErrorKind::Mismatch,
           fmt::format("two calls of this layer want weight '{}' with different shapes: {} and {}.", name,
                       to_string(variable->source_dims), to_string(dims)));
  if (!variable)
    variable = &variables.add(
        {.name = full_name, .dtype = dtype, .source_dims = dims, .trainable = trainable && layer.trainable});
  const bool known = std::any_of(layer.weights.begin(), layer.weights.end(), [&](auto& w) { return w.name == name; });
  if (!known) {
    layer.weights.push_back({name, full_name, trainable});
    take_rule(layer, layer.weights.back(), "_regularizer", regularizers);
    take_rule(layer, layer.weights.back(), "_constraint", constraints);
  }
  Value value = b.variable(full_name);
  auto replace = replacements_.find(layer.path);
  if (replace == replacements_.end()) return value;
  const WeightRecord record{name, full_name, trainable};
  return replace->second(record, value);
}

Value LayerHost::draw_seed(Builder& b, LayerRecord& layer, const std::string& generator, bool in_inference_too) {
  auto seed = layer.config.find("seed");
  if (seed == layer.config.end() || !seed->is_number_integer()) return {};
  const std::string name = layer.path + "/" + generator;
  if (!b.graph().variables->find(name))
    b.graph().variables->add({.name = name,
                              .dtype = DType::Int64,
                              .source_dims = {2},
                              .role = Role::Seed,
                              .initial = Array::of<int64_t>(DType::Int64, {2}, {seed->get<int64_t>(), 0})});
  auto it = std::find_if(streams_.begin(), streams_.end(), [&](const Stream& s) { return s.variable == name; });
  if (it == streams_.end()) it = streams_.insert(streams_.end(), Stream{name});
  it->in_inference_too = in_inference_too;
  const int64_t drawn = it->draws++;
  Value state = b.variable(name);
  if (drawn == 0) return state;
  return b.add(state, b.constant(Array::of<int64_t>(DType::Int64, {2}, {0, drawn})));
}

void LayerHost::finish_seeds(Builder& b) {
  for (const Stream& stream : streams_) {
    Value state = b.variable(stream.variable);
    Value step = b.constant(Array::of<int64_t>(DType::Int64, {2}, {0, stream.draws}));
    // Most generators advance only where a random number is used, and that is in training.
    auto advance = [&] { return Values{b.add(state, step)}; };
    Values next = stream.in_inference_too ? advance() : b.cond(b.training(), advance, [&] { return Values{state}; });
    b.assign(state, next[0]);
  }
  streams_.clear();
}

Value LayerHost::training(Builder& b) {
  if (!training_override_) return b.training();
  return b.host_bool(*training_override_);
}

std::vector<std::string> trainable_variables(const LayerHost& host, const Variables& variables) {
  std::vector<std::string> out;
  for (const LayerRecord* root : host.roots()) collect_trainable(*root, variables, false, out);
  return out;
}

std::vector<std::string> unfrozen_variables(const LayerHost& host, const Variables& variables) {
  std::vector<std::string> out;
  for (const LayerRecord* root : host.roots()) collect_trainable(*root, variables, true, out);
  return out;
}

}  // namespace midstream::keras
