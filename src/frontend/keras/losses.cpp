// Losses of compile(): strings, functions and objects -> classes.
#include <map>

#include "base/error.h"
#include "frontend/keras/compile.h"
#include "frontend/keras/entries.h"

namespace midstream::keras {
namespace {

const char* const kLosses[] = {"BinaryCrossentropy",
                               "BinaryFocalCrossentropy",
                               "CTC",
                               "CategoricalCrossentropy",
                               "CategoricalFocalCrossentropy",
                               "CategoricalGeneralizedCrossEntropy",
                               "CategoricalHinge",
                               "Circle",
                               "CosineSimilarity",
                               "Dice",
                               "Hinge",
                               "Huber",
                               "KLDivergence",
                               "LogCosh",
                               "MeanAbsoluteError",
                               "MeanAbsolutePercentageError",
                               "MeanSquaredError",
                               "MeanSquaredLogarithmicError",
                               "Poisson",
                               "SparseCategoricalCrossentropy",
                               "SquaredHinge",
                               "Tversky"};

const std::map<std::string, std::string>& by_function() {
  static const std::map<std::string, std::string> names = [] {
    std::map<std::string, std::string> out{{"bce", "BinaryCrossentropy"},
                                           {"BCE", "BinaryCrossentropy"},
                                           {"kld", "KLDivergence"},
                                           {"KLD", "KLDivergence"},
                                           {"kl_divergence", "KLDivergence"},
                                           {"kullback_leibler_divergence", "KLDivergence"},
                                           {"mae", "MeanAbsoluteError"},
                                           {"MAE", "MeanAbsoluteError"},
                                           {"mse", "MeanSquaredError"},
                                           {"MSE", "MeanSquaredError"},
                                           {"mape", "MeanAbsolutePercentageError"},
                                           {"MAPE", "MeanAbsolutePercentageError"},
                                           {"msle", "MeanSquaredLogarithmicError"},
                                           {"MSLE", "MeanSquaredLogarithmicError"},
                                           {"logcosh", "LogCosh"},
                                           {"log_cosh", "LogCosh"},
                                           {"huber_loss", "Huber"},
                                           {"cosine_proximity", "CosineSimilarity"},
                                           {"cosine", "CosineSimilarity"}};
    for (const char* name : kLosses) {
      out[name] = name;
      out.emplace(to_snake_case(name), name);
    }
    return out;
  }();
  return names;
}

}  // namespace

std::string loss_class(const std::string& name) {
  auto it = by_function().find(name);
  return it == by_function().end() ? "" : it->second;
}

json canonical_loss(const json& given, const WrittenBy& by) {
  const json loss = canonical_object(given, by);
  if (loss.is_null()) return loss;
  std::string name = loss.is_string() ? loss.get<std::string>() : loss.value("class_name", std::string());
  json config = loss.is_object() && loss.value("config", json()).is_object() ? loss.at("config") : json::object();
  if (name == "LossFunctionWrapper") {  // a function in a wrapper: {"fn": "mean_squared_error"}
    const json fn = config.value("fn", json());
    if (fn.is_string()) name = fn;
  }
  config.erase("fn");
  config.erase("dtype");
  const std::string reduction = config.contains("reduction") && config.at("reduction").is_string()
                                    ? config.at("reduction").get<std::string>()
                                    : "auto";
  config["reduction"] = reduction == "auto" ? "sum_over_batch_size" : reduction;
  if (name == "crossentropy" || name == "ce") return {{"class_name", "crossentropy"}, {"config", config}};
  const std::string known = loss_class(name);
  if (known.empty()) return {{"class_name", name}, {"config", config}, {"custom", true}};
  if (!config.contains("name")) config["name"] = loss.is_string() ? name : to_snake_case(known);
  const std::string checked = name_with_unknown_entries(known, config);
  if (checked != known) return {{"class_name", checked}, {"config", config}, {"custom", true}};
  return {{"class_name", known}, {"config", config}};
}

}  // namespace midstream::keras
