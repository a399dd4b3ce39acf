// The optimizer of compile(): every version's words and defaults -> canonical.h.
#include <algorithm>
#include <cctype>
#include <map>

#include "base/error.h"
#include "frontend/keras/compile.h"
#include "frontend/keras/entries.h"
#include "frontend/keras/loss_scale.h"

namespace midstream::keras {
namespace {

std::string optimizer_class(const std::string& given) {
  std::string name = given.substr(given.rfind('>') + 1);
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* known : {"Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion",
                            "Muon", "Nadam", "RMSprop", "SGD", "ScheduleFreeAdamW"}) {
    std::string k = known;
    std::transform(k.begin(), k.end(), k.begin(), [](unsigned char c) { return std::tolower(c); });
    if (lower == k) return known;
  }
  return name;
}

std::string rules_of(const std::string& given, const json& config, const WrittenBy& by) {
  if (by.keras3()) return "keras3";
  if (by.external()) return "keras2";
  if (config.contains("is_legacy_optimizer") && config.at("is_legacy_optimizer").is_boolean())
    return config.at("is_legacy_optimizer").get<bool>() ? "optimizer_v2" : "tf_keras";
  if (given.starts_with("Custom>")) return "tf_keras";
  if (config.empty()) return by.minor >= 11 ? "tf_keras" : "optimizer_v2";  // a plain string
  return "optimizer_v2";                                                    // its config has no is_legacy_optimizer
}

// Defaults that are not today's, for entries that the config leaves out or gives as null.
void old_defaults(const std::string& name, const std::string& rules, json& c) {
  auto missing = [&](const char* key) { return !c.contains(key) || c.at(key).is_null(); };
  if (rules == "keras3") return;
  if (missing("epsilon") && name != "SGD") c["epsilon"] = 1e-7;
  if (name == "Adagrad" && rules == "keras2" && missing("initial_accumulator_value"))
    c["initial_accumulator_value"] = 0.0;
  if (name == "Adadelta" && rules == "keras2" && missing("learning_rate")) c["learning_rate"] = 1.0;
}

}  // namespace

json canonical_optimizer(const json& given, const WrittenBy& by) {
  if (given.is_null()) return given;
  const json optimizer = canonical_object(given, by);
  const std::string written =
      optimizer.is_string() ? optimizer.get<std::string>() : optimizer.value("class_name", std::string());
  const std::string own = user_class(given);
  const std::string name = own.empty() ? optimizer_class(written) : own;
  json config =
      optimizer.is_object() && optimizer.value("config", json()).is_object() ? optimizer.at("config") : json::object();
  if (name.starts_with("LossScaleOptimizer")) return without_loss_scale_optimizer(name, config, by);
  const std::string rules = rules_of(written, config, by);
  json c = json::object();
  for (const auto& [key, value] : config.items()) {
    if (key == "lr")
      c["learning_rate"] = value;
    else if (key == "schedule_decay") {
      c["decay"] = value;  // the keras package's name for Nadam's
    } else if (key == "decay") {
      if (value.is_number() && value.get<double>() != 0) c["decay"] = value;
    } else if (key == "is_legacy_optimizer" || key == "jit_compile")
      continue;
    else
      c[key] = value;
  }
  const std::string checked = name_with_unknown_entries(name, c);
  old_defaults(name, rules, c);
  c["rules"] = rules;
  c["merged_gradients"] = !by.keras3();
  if (c.contains("learning_rate") && c.at("learning_rate").is_object()) {
    json& schedule = c["learning_rate"];
    schedule["class_name"] = name_with_unknown_entries(schedule.value("class_name", std::string()),
                                                       schedule.value("config", json::object()));
  }
  return {{"class_name", checked}, {"config", c}};
}

}  // namespace midstream::keras
