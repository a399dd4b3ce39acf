// The many ways in which compile() names a loss or metric, brought to one form.
#include <cctype>
#include <map>

#include "lower/keras/config.h"
#include "lower/keras/losses.h"

namespace midstream::keras {

namespace {

const std::map<std::string, std::string>& function_classes() {
  static const std::map<std::string, std::string> names = {
      {"mse", "MeanSquaredError"},
      {"mean_squared_error", "MeanSquaredError"},
      {"mae", "MeanAbsoluteError"},
      {"mean_absolute_error", "MeanAbsoluteError"},
      {"mape", "MeanAbsolutePercentageError"},
      {"mean_absolute_percentage_error", "MeanAbsolutePercentageError"},
      {"msle", "MeanSquaredLogarithmicError"},
      {"mean_squared_logarithmic_error", "MeanSquaredLogarithmicError"},
      {"bce", "BinaryCrossentropy"},
      {"binary_crossentropy", "BinaryCrossentropy"},
      {"binary_focal_crossentropy", "BinaryFocalCrossentropy"},
      {"categorical_crossentropy", "CategoricalCrossentropy"},
      {"categorical_focal_crossentropy", "CategoricalFocalCrossentropy"},
      {"sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"},
      {"kld", "KLDivergence"},
      {"kl_divergence", "KLDivergence"},
      {"kullback_leibler_divergence", "KLDivergence"},
      {"poisson", "Poisson"},
      {"hinge", "Hinge"},
      {"squared_hinge", "SquaredHinge"},
      {"categorical_hinge", "CategoricalHinge"},
      {"huber", "Huber"},
      {"huber_loss", "Huber"},
      {"log_cosh", "LogCosh"},
      {"logcosh", "LogCosh"},
      {"cosine_similarity", "CosineSimilarity"},
      {"cosine_proximity", "CosineSimilarity"},
      {"cosine", "CosineSimilarity"},
      {"accuracy", "Accuracy"},
      {"acc", "Accuracy"},
      {"binary_accuracy", "BinaryAccuracy"},
      {"categorical_accuracy", "CategoricalAccuracy"},
      {"sparse_categorical_accuracy", "SparseCategoricalAccuracy"},
      {"top_k_categorical_accuracy", "TopKCategoricalAccuracy"},
      {"sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy"},
      {"root_mean_squared_error", "RootMeanSquaredError"},
      {"rmse", "RootMeanSquaredError"},
      {"mean", "Mean"},
      {"sum", "Sum"},
      {"auc", "AUC"},
      {"precision", "Precision"},
      {"recall", "Recall"},
  };
  return names;
}

std::string lower(std::string s) {
  for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return s;
}

std::string snake(const std::string& name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    bool upper = std::isupper(static_cast<unsigned char>(name[i]));
    bool starts = upper && i > 0 && (!std::isupper(static_cast<unsigned char>(name[i - 1])) ||
                                     (i + 1 < name.size() && std::islower(static_cast<unsigned char>(name[i + 1]))));
    if (starts) out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

}  // namespace

std::string loss_class(const std::string& name) {
  auto it = function_classes().find(lower(name));
  return it == function_classes().end() ? name : it->second;
}

Named parse_named(const json& description, const char* what) {
  if (description.is_string()) {
    std::string name = description.get<std::string>();
    return {.name = loss_class(name), .shown = name};
  }
  if (!description.is_object() || !description.contains("class_name"))
    throw Error(ErrorKind::Unsupported, what, "cannot be read from " + description.dump() + ".");
  std::string class_name = text(description, "class_name");
  json config = description.value("config", json::object());
  if (config.is_string()) {  // a function: its name
    Named named{.name = loss_class(config.get<std::string>()), .shown = config.get<std::string>()};
    return named;
  }
  if (!config.is_object()) config = json::object();
  bool wraps = class_name == "LossFunctionWrapper" || class_name == "MeanMetricWrapper";
  if (wraps && has(config, "fn")) {
    Named inner = parse_named(config.at("fn"), what);
    json kwargs = config;
    kwargs.erase("fn");
    for (const auto& [key, value] : kwargs.items()) inner.config[key] = value;
    inner.shown = text(config, "name", inner.shown);
    return inner;
  }
  return {.name = loss_class(class_name), .shown = text(config, "name", snake(class_name)), .config = config};
}

}  // namespace midstream::keras
