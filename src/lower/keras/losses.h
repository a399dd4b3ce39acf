// From compile()'s description of a loss to its lowering.
#pragma once

#include "lower/keras/training.h"

namespace midstream::keras {

// A loss or metric function as compile() names it, brought to one form.
struct Named {
  std::string name;        // "MeanSquaredError": the name in the registry
  std::string shown;       // what Keras calls it in logs: "mse", "mean_squared_error", the config's name
  json config = json::object();
};
// Reads "mse", {"class_name": .., "config": ..}, {"class_name": "function", "config": "mse"}, wrappers of functions.
// Throws Error(Unsupported) for functions of the user's own.
Named parse_named(const json& description, const char* what);

// "mse", "mean_squared_error", "MSE" -> "MeanSquaredError"; other names unchanged.
std::string loss_class(const std::string& name);

// The loss function's logits, if y_pred was made from them by this very activation ("softmax", "sigmoid"); null
// otherwise. Keras takes them so that the loss does not saturate.
Value logits_behind(Builder& b, Value y_pred, const std::string& activation);

}  // namespace midstream::keras
