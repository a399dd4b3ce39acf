// Serialized Python objects inside configs (activations, regularizers, constraints, functions), brought to a name or
// {"class_name", "config"}.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "frontend/keras/canonical.h"
#include "frontend/keras/entries.h"

namespace midstream::keras {
namespace {

bool is_serialized(const json& v) {
  return v.is_object() && v.contains("class_name") && v.at("class_name").is_string();
}

json object(const std::string& class_name, json config) {
  return {{"class_name", class_name}, {"config", std::move(config)}};
}

// Entries that hold layers: those are canonical layers.
bool holds_layer(const std::string& key) {
  return key == "layer" || key == "forward_layer" || key == "backward_layer" || key == "cell" || key == "cells" ||
         key == "rnn_layer";
}

json inner_layer(const json& v, const WrittenBy& by) {
  if (v.is_array()) {
    json out = json::array();
    for (const json& item : v) out.push_back(inner_layer(item, by));
    return out;
  }
  if (!is_serialized(v)) return v;
  const std::string class_name = canonical_class(v, by);
  const json config = v.value("config", json::object());
  // A model inside a wrapper stays as it is: whoever lowers it reads it with canonical_model.
  if (is_model_class(class_name))
    return {{"class_name", class_name}, {"config", config}, {"keras_version", by.version}};
  json out = object(class_name, canonical_layer_config(class_name, config, by));
  if (!out["config"].contains("name")) out["config"]["name"] = to_snake_case(class_name);
  return out;
}

double number_of(const json& o, std::initializer_list<const char*> keys, double otherwise) {
  for (const char* key : keys)
    if (auto it = o.find(key); it != o.end() && it->is_number()) return it->get<double>();
  return otherwise;
}

// {"class_name", "config"} of an object that may be written as string, Keras 1's flat {"name", ...} or in today's form.
std::pair<std::string, json> name_and_config(const json& v) {
  if (v.is_string()) return {v.get<std::string>(), json::object()};
  if (is_serialized(v)) {
    const json& config = v.contains("config") && !v.at("config").is_null() ? v.at("config") : json::object();
    if (config.is_string()) return {config.get<std::string>(), json::object()};  // a function
    const std::string own = user_class(v);
    return {own.empty() ? v.at("class_name").get<std::string>() : own, config};
  }
  if (v.is_object() && v.contains("name")) return {v.at("name").get<std::string>(), v};
  throw Error(ErrorKind::BadFile, "config", "an object is expected, seen: " + v.dump() + ".");
}

}  // namespace

std::string user_class(const json& object) {
  if (!object.is_object() || !object.contains("module") || !is_serialized(object)) return {};
  const json &module = object.at("module"), registered = object.value("registered_name", json());
  const std::string name = object.at("class_name");
  std::string from = module.is_string() ? module.get<std::string>() : "";
  for (const std::string own : {"keras", "tf_keras", "tensorflow", "builtins"})
    if (from == own || from.starts_with(own + ".")) return {};
  if (from.empty() && !registered.is_string()) return {};
  const std::string full = registered.is_string() ? registered.get<std::string>() : name;
  return full.find('>') != std::string::npos ? full : "unregistered>" + full;
}

json canonical_object(const json& v, const WrittenBy& by) {
  if (v.is_array()) {
    json out = json::array();
    for (const json& item : v) out.push_back(canonical_object(item, by));
    return out;
  }
  if (!v.is_object()) return v;
  if (is_serialized(v)) {
    const std::string class_name = v.at("class_name").get<std::string>();
    const json config = v.value("config", json(nullptr));
    if (class_name == "function") return config;
    if (class_name == "__tuple__")
      return canonical_object(config.is_object() ? config.value("value", json()) : config, by);
    if (class_name == "__numpy__" || class_name == "__tensor__")
      return config.is_object() ? config.value("value", json()) : config;
    if (class_name.starts_with("__")) return v;
    const std::string own = user_class(v);
    return object(own.empty() ? class_name : own, canonical_object(config, by));
  }
  if (v.contains("type") && v.contains("value") && v.size() == 2) return v.at("value");  // Keras 2's numpy scalars
  json out = json::object();
  for (const auto& [key, item] : v.items())
    out[key] = holds_layer(key) ? inner_layer(item, by) : canonical_object(item, by);
  return out;
}

json canonical_activation(const json& v, const WrittenBy& by) {
  if (v.is_null()) return v;
  json a = canonical_object(v, by);
  if (a.is_string()) {
    const std::string name = a;
    static const std::map<std::string, std::string> same{{"swish", "silu"}, {"hard_swish", "hard_silu"}};
    if (auto it = same.find(name); it != same.end()) return it->second;
    if (name == "hard_sigmoid" && !by.keras3()) return "hard_sigmoid_keras2";
    return name;
  }
  if (is_serialized(a)) {
    const std::string class_name = canonical_class(v, by);
    return object(class_name, canonical_layer_config(class_name, v.value("config", json::object()), by));
  }
  return a;
}

json canonical_regularizer(const json& v) {
  if (v.is_null()) return v;
  auto [name, config] = name_and_config(v);
  const double l1 = number_of(config, {"l1"}, 0), l2 = number_of(config, {"l2"}, 0);
  if (v.is_string()) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (lower == "l1") return object("L1", {{"l1", 0.01}});
    if (lower == "l2") return object("L2", {{"l2", 0.01}});
    if (lower == "l1_l2" || lower == "l1l2") return object("L1L2", {{"l1", 0.01}, {"l2", 0.01}});
    if (lower == "orthogonal_regularizer") return object("OrthogonalRegularizer", {{"factor", 0.01}, {"mode", "rows"}});
  }
  name = name_with_unknown_entries(name, config);
  if (name == "L1") return object("L1", {{"l1", l1}});
  if (name == "L2") return object("L2", {{"l2", l2}});
  if (name == "L1L2" || name == "WeightRegularizer" || name == "ActivityRegularizer" || name == "L1L2Regularizer") {
    if (l1 == 0 && l2 == 0) return nullptr;
    return object("L1L2", {{"l1", l1}, {"l2", l2}});
  }
  config.erase("name");
  return object(name, config);
}

json canonical_constraint(const json& v) {
  if (v.is_null()) return v;
  auto [name, config] = name_and_config(v);
  static const std::map<std::string, std::string> names{
      {"max_norm", "MaxNorm"},  {"maxnorm", "MaxNorm"},         {"MaxNorm", "MaxNorm"},      {"non_neg", "NonNeg"},
      {"nonneg", "NonNeg"},     {"NonNeg", "NonNeg"},           {"unit_norm", "UnitNorm"},   {"unitnorm", "UnitNorm"},
      {"UnitNorm", "UnitNorm"}, {"min_max_norm", "MinMaxNorm"}, {"MinMaxNorm", "MinMaxNorm"}};
  auto it = names.find(name);
  if (it == names.end()) return object(name, config);
  if (const std::string checked = name_with_unknown_entries(it->second, config); checked != it->second)
    return object(checked, config);
  const json axis = config.contains("axis") ? config.at("axis") : json(0);
  if (it->second == "NonNeg") return object("NonNeg", json::object());
  if (it->second == "UnitNorm") return object("UnitNorm", {{"axis", axis}});
  if (it->second == "MaxNorm")
    return object("MaxNorm", {{"max_value", number_of(config, {"max_value", "m"}, 2)}, {"axis", axis}});
  return object("MinMaxNorm", {{"min_value", number_of(config, {"min_value", "low"}, 0)},
                               {"max_value", number_of(config, {"max_value", "high"}, 1)},
                               {"rate", number_of(config, {"rate"}, 1)},
                               {"axis", axis}});
}

}  // namespace midstream::keras
