// Parts of canonical_compile, one file each.
#pragma once

#include "frontend/keras/canonical.h"

namespace midstream::keras {

// null, or {"class_name", "config"}; see canonical.h.
json canonical_optimizer(const json& optimizer, const WrittenBy& by);
json canonical_loss(const json& loss, const WrittenBy& by);
json canonical_metric(const json& metric, const WrittenBy& by);
// Lists of one list per output, with the names that Keras prints.
json canonical_metrics(const json& metrics, const Model& model, const WrittenBy& by);
// The class whose function has this name: "mse" -> "MeanSquaredError"; "" if there is none.
std::string loss_class(const std::string& name);
std::string metric_class(const std::string& name);

}  // namespace midstream::keras
