// Metrics of compile(): strings, functions and objects -> classes with the names that Keras prints.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "frontend/keras/compile.h"
#include "frontend/keras/entries.h"

namespace midstream::keras {
namespace {

const char* const kMetrics[] = {"AUC",
                                "Accuracy",
                                "BinaryAccuracy",
                                "BinaryCrossentropy",
                                "BinaryIoU",
                                "CategoricalAccuracy",
                                "CategoricalCrossentropy",
                                "CategoricalHinge",
                                "ConcordanceCorrelation",
                                "CosineSimilarity",
                                "F1Score",
                                "FBetaScore",
                                "FalseNegatives",
                                "FalsePositives",
                                "Hinge",
                                "IoU",
                                "KLDivergence",
                                "LogCoshError",
                                "Mean",
                                "MeanAbsoluteError",
                                "MeanAbsolutePercentageError",
                                "MeanIoU",
                                "MeanRelativeError",
                                "MeanSquaredError",
                                "MeanSquaredLogarithmicError",
                                "OneHotIoU",
                                "OneHotMeanIoU",
                                "PearsonCorrelation",
                                "Poisson",
                                "Precision",
                                "PrecisionAtRecall",
                                "R2Score",
                                "Recall",
                                "RecallAtPrecision",
                                "RootMeanSquaredError",
                                "SensitivityAtSpecificity",
                                "SparseCategoricalAccuracy",
                                "SparseCategoricalCrossentropy",
                                "SparseTopKCategoricalAccuracy",
                                "SpecificityAtSensitivity",
                                "SquaredHinge",
                                "Sum",
                                "TopKCategoricalAccuracy",
                                "TrueNegatives",
                                "TruePositives"};

const std::map<std::string, std::string>& by_name() {
  static const std::map<std::string, std::string> names = [] {
    std::map<std::string, std::string> out{{"bce", "BinaryCrossentropy"},
                                           {"BCE", "BinaryCrossentropy"},
                                           {"mae", "MeanAbsoluteError"},
                                           {"MAE", "MeanAbsoluteError"},
                                           {"mse", "MeanSquaredError"},
                                           {"MSE", "MeanSquaredError"},
                                           {"mape", "MeanAbsolutePercentageError"},
                                           {"MAPE", "MeanAbsolutePercentageError"},
                                           {"msle", "MeanSquaredLogarithmicError"},
                                           {"MSLE", "MeanSquaredLogarithmicError"},
                                           {"kld", "KLDivergence"},
                                           {"KLD", "KLDivergence"},
                                           {"kl_divergence", "KLDivergence"},
                                           {"kullback_leibler_divergence", "KLDivergence"},
                                           {"logcosh", "LogCoshError"},
                                           {"log_cosh", "LogCoshError"},
                                           {"cosine_proximity", "CosineSimilarity"},
                                           {"acc", "accuracy"},
                                           {"accuracy", "accuracy"},
                                           {"ce", "crossentropy"},
                                           {"crossentropy", "crossentropy"},
                                           {"rmse", "RootMeanSquaredError"},
                                           {"categorical_crossentropy", "CategoricalCrossentropy"}};
    for (const char* name : kMetrics) {
      out[name] = name;
      out.emplace(to_snake_case(name), name);
    }
    return out;
  }();
  return names;
}

}  // namespace

std::string metric_class(const std::string& name) {
  auto it = by_name().find(name);
  return it == by_name().end() ? "" : it->second;
}

json canonical_metric(const json& given, const WrittenBy& by) {
  const json metric = canonical_object(given, by);
  std::string name = metric.is_string() ? metric.get<std::string>() : metric.value("class_name", std::string());
  json config = metric.is_object() && metric.value("config", json()).is_object() ? metric.at("config") : json::object();
  std::string printed =
      config.contains("name") && config.at("name").is_string() ? config.at("name").get<std::string>() : "";
  if (name == "MeanMetricWrapper" || name == "SumOverBatchSizeMetricWrapper") {
    const json fn = config.value("fn", json());
    if (fn.is_string())
      name = fn;
    else if (fn.is_object())
      name = fn.value("class_name", name);  // a loss object as metric
  }
  config.erase("fn");
  const std::string known = metric_class(name);
  if (printed.empty()) printed = metric.is_string() ? name : known.empty() ? name : to_snake_case(known);
  config["name"] = printed;
  if (known.empty()) return {{"class_name", name}, {"config", config}, {"custom", true}};
  const std::string checked = name_with_unknown_entries(known, config);
  if (checked != known) return {{"class_name", checked}, {"config", config}, {"custom", true}};
  return {{"class_name", known}, {"config", config}};
}

json canonical_metrics(const json& given, const Model& model, const WrittenBy& by) {
  const size_t n = model.outputs.size();
  std::vector<json> lists(n, json::array());
  auto add = [&](size_t output, const json& metrics) {
    if (metrics.is_null()) return;
    for (const json& m : metrics.is_array() ? metrics : json::array({metrics}))
      if (!m.is_null()) lists[output].push_back(m);
  };
  const bool one = given.is_string() || (given.is_object() && given.contains("class_name"));
  const bool nested =
      given.is_array() && std::any_of(given.begin(), given.end(), [](const json& m) { return m.is_array(); });
  if (one) {
    for (size_t i = 0; i < n; ++i) add(i, given);
  } else if (given.is_object()) {
    for (size_t i = 0; i < n; ++i)
      for (const std::string& key : std::set<std::string>{model.output_names[i], model.outputs[i].layer})
        if (given.contains(key)) add(i, given.at(key));
  } else if (given.is_array()) {
    // One list for all outputs, or (Keras 3: as soon as the lengths agree) one item for each.
    const bool each = n > 1 && given.size() == n && (nested || by.keras3());
    for (size_t i = 0; i < n; ++i) {
      if (each)
        add(i, given[i]);
      else
        for (const json& m : given) add(i, m);
    }
  }
  json out = json::array();
  std::map<std::string, int> used;
  for (size_t i = 0; i < n; ++i) {
    json list = json::array();
    for (const json& item : lists[i]) {
      json metric = canonical_metric(item, by);
      std::string name = metric["config"]["name"];
      const std::string prefix = model.output_names[i] + "_";
      if (n > 1 && !name.starts_with(prefix)) name = prefix + name;
      const int before = used[name]++;
      metric["config"]["name"] = before == 0 ? name : fmt::format("{}_{}", name, before);
      list.push_back(std::move(metric));
    }
    out.push_back(std::move(list));
  }
  return out;
}

std::string resolve_by_shape(const std::string& name, const Dims& y_true, const Dims& y_pred) {
  const std::string tail = name == "crossentropy" ? "Crossentropy" : "Accuracy";
  const int64_t true_last = y_true.empty() ? 0 : y_true.back(), pred_last = y_pred.empty() ? 0 : y_pred.back();
  if (pred_last == 1) return "Binary" + tail;
  if (y_true.size() < y_pred.size() || (true_last == 1 && pred_last > 1)) return "SparseCategorical" + tail;
  return "Categorical" + tail;
}

}  // namespace midstream::keras
