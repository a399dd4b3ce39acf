// LossScaleOptimizer, which every Keras writes in its own way: as the optimizer around the one that was given, as
// nothing at all (compile() of a mixed_float16 model makes one by itself, and a .keras names the optimizer inside it),
// and in TensorFlow 2.1 to 2.3 with an object for the scale. Here it becomes the entry "loss_scale" of the optimizer.
#include "frontend/keras/loss_scale.h"

#include "base/error.h"
#include "frontend/keras/compile.h"
#include "frontend/keras/entries.h"

namespace midstream::keras {
namespace {

json dynamic_scale() { return {{"dynamic", true}, {"initial_scale", 32768.0}, {"dynamic_growth_steps", 2000}}; }

const json& entry(const json& config, const char* key) {
  static const json kNone;
  const auto it = config.find(key);
  return it == config.end() ? kNone : *it;
}

// TensorFlow 2.1 to 2.3: {"optimizer", "loss_scale": {"class_name": "DynamicLossScale", "config"}}.
json of_old_form(json config) {
  if (!config.contains("loss_scale")) return config;
  const json scale = config.at("loss_scale");
  config.erase("loss_scale");
  if (config.contains("optimizer")) {
    config["inner_optimizer"] = config.at("optimizer");
    config.erase("optimizer");
  }
  const std::string kind = scale.is_object() ? scale.value("class_name", std::string()) : std::string();
  const json of = scale.is_object() ? scale.value("config", json::object()) : json::object();
  if (kind == "FixedLossScale") {
    config["dynamic"] = false;
    config["initial_scale"] = entry(of, "loss_scale_value");
  } else if (kind == "DynamicLossScale" && of.value("multiplier", 2.0) == 2.0) {
    config["initial_scale"] = entry(of, "initial_loss_scale");
    config["dynamic_growth_steps"] = entry(of, "increment_period");
  } else {
    config["loss_scale"] = scale;  // refused by name
  }
  return config;
}

bool in_mixed_float16(const Model& model) {
  for (const SourceLayer& layer : model.layers)
    if (layer.model ? in_mixed_float16(*layer.model) : layer.config.value("dtype", json()) == "mixed_float16")
      return true;
  return false;
}

}  // namespace

json without_loss_scale_optimizer(const std::string& class_name, const json& given, const WrittenBy& by) {
  const json config = of_old_form(given);
  const std::string checked = name_with_unknown_entries("LossScaleOptimizer", config);
  if (checked != "LossScaleOptimizer" || !entry(config, "inner_optimizer").is_object())
    return {{"class_name", checked == "LossScaleOptimizer" ? class_name : checked}, {"config", json::object()}};
  json scale = dynamic_scale();
  for (const char* key : {"dynamic", "initial_scale", "dynamic_growth_steps"})
    if (!entry(config, key).is_null()) scale[key] = config.at(key);
  json optimizer = canonical_optimizer(config.at("inner_optimizer"), by);
  optimizer["config"]["loss_scale"] = scale;
  return optimizer;
}

void split_loss_scale(File& file, const std::vector<FileArray>& outer, bool inner_known) {
  OptimizerState& state = *file.optimizer;
  std::vector<FileArray>& inner = state.all;
  size_t own = inner_known && outer.size() >= inner.size() ? outer.size() - inner.size() : 0;
  // Its own counter and rate, and, once it has seen a variable, how many steps went well and the scale.
  if (!inner_known) {
    const auto named = [&](size_t i, const char* name) { return outer.size() > i && outer[i].name.ends_with(name); };
    own = named(2, "step_counter") && named(3, "dynamic_scale") ? 4 : 2;
    if (outer.size() < own) return;
    inner.assign(outer.begin() + static_cast<long>(own), outer.end());
  }
  if (own != 0 && own != 2 && own != 4)
    throw Error(ErrorKind::Mismatch, file.path,
                "the optimizer's arrays are not those of a LossScaleOptimizer around another one.",
                "Compile the model again in Keras and save it, to start with a fresh optimizer.");
  state.wrapper.assign(outer.begin(), outer.begin() + static_cast<long>(own));
  if (own == 4) {
    state.step_counter = outer[2];
    state.dynamic_scale = outer[3];
  }
  if (inner_known)
    for (size_t i = 0; i < inner.size() && own + i < outer.size(); ++i)
      state.copies.emplace_back(outer[own + i].source, inner[i].source);
}

void imply_loss_scale(File& file, bool wrapped) {
  if (!file.compile.is_object() || !file.compile.at("optimizer").is_object()) return;
  json& config = file.compile.at("optimizer").at("config");
  if (config.contains("loss_scale")) return;
  // Without arrays a .keras does not tell.
  const bool untold = (file.format == ".keras" && !file.optimizer) || file.optimizer_given;
  if (wrapped || (untold && in_mixed_float16(file.model))) config["loss_scale"] = dynamic_scale();
}

}  // namespace midstream::keras
