// compile() as the file has it -> one item per output; see canonical.h.
#include "frontend/keras/compile.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"

namespace midstream::keras {
namespace {

bool is_object_config(const json& v) { return v.is_object() && v.contains("class_name"); }

// A nest given for the outputs (one item, a list, or a dict by output name) -> one item per output, null where none.
json per_output(const json& given, const Model& model, const char* what) {
  const size_t n = model.outputs.size();
  json out = json::array();
  if (given.is_array() && given.size() == n) return given;
  if (given.is_object() && !is_object_config(given)) {
    for (size_t i = 0; i < n; ++i) {
      auto it = given.find(model.output_names[i]);
      if (it == given.end()) it = given.find(model.outputs[i].layer);
      out.push_back(it == given.end() ? json() : *it);
    }
    for (const auto& [key, value] : given.items()) {
      bool known = false;
      for (size_t i = 0; i < n; ++i) known |= key == model.output_names[i] || key == model.outputs[i].layer;
      if (!known)
        throw Error(ErrorKind::Mismatch, model.name,
                    fmt::format("compile() names an output '{}' in {}, but the outputs are {}.", key, what,
                                fmt::join(model.output_names, ", ")));
    }
    return out;
  }
  if (given.is_array() && given.size() == 1 && given[0].is_array() && n == 1) return given;
  if (given.is_array())
    throw Error(ErrorKind::Mismatch, model.name,
                fmt::format("compile() gives {} {}, the model has {} outputs.", given.size(), what, n));
  for (size_t i = 0; i < n; ++i) out.push_back(given);  // one for all
  return out;
}

json losses(const json& given, const Model& model, const WrittenBy& by) {
  json out = json::array();
  if (given.is_null()) {
    for (size_t i = 0; i < model.outputs.size(); ++i) out.push_back(nullptr);
    return out;
  }
  for (const json& loss : per_output(given, model, "losses")) {
    const json& one = loss.is_array() && loss.size() == 1 ? loss[0] : loss;
    out.push_back(canonical_loss(one, by));
  }
  return out;
}

// What compile() was given that neither means something here nor leaves the numbers as they are: ["key=value"].
json unknown_entries(const json& compile, const json& loss_weights) {
  // The second line says how the step is run, not what it computes; that sample weights have steps shows in their
  // shape.
  static const std::set<std::string> kKnown{
      "optimizer",   "optimizer_config",    "loss",         "loss_weights",      "metrics", "weighted_metrics",
      "run_eagerly", "steps_per_execution", "jit_compile", "sample_weight_mode"};
  json out = json::array();
  for (const auto& [key, value] : compile.items()) {
    if (value.is_null() || kKnown.contains(key) || (key == "auto_scale_loss" && value == true)) continue;
    out.push_back(key + "=" + value.dump());
  }
  if (!loss_weights.is_null())
    for (const json& w : loss_weights)
      if (!w.is_number()) out.push_back("loss_weights=" + w.dump());
  return out;
}

json loss_weights(const json& given, const Model& model) {
  if (given.is_null()) return nullptr;
  json out = json::array();
  for (const json& w : per_output(given, model, "loss weights")) out.push_back(w.is_null() ? json(1.0) : w);
  return out;
}

}  // namespace

json canonical_compile(const json& compile, const Model& model, const WrittenBy& by) {
  json optimizer = compile.value("optimizer_config", json());
  if (optimizer.is_null()) optimizer = compile.value("optimizer", json());
  // The newer tf.keras nest the arguments of compile() once more when it was overridden.
  json weights = compile.value("loss_weights", json());
  if (weights.is_array() && weights.empty()) weights = nullptr;
  const json by_output = loss_weights(weights, model);
  return {{"optimizer", canonical_optimizer(optimizer, by)},
          {"losses", losses(compile.value("loss", json()), model, by)},
          {"loss_weights", by_output},
          {"unknown", unknown_entries(compile, by_output)},
          {"metrics", canonical_metrics(compile.value("metrics", json()), model, by)},
          {"weighted_metrics", canonical_metrics(compile.value("weighted_metrics", json()), model, by)}};
}

}  // namespace midstream::keras
