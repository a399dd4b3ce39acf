// Keras 1's words for what Keras 2 and 3 say.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace midstream::keras {

// The layer that a Merge of this config is today; "Merge" where there is none.
std::string merge_class(const nlohmann::json& config);
// "Convolution2D" -> "Conv2D"; other names stay.
std::string keras1_class(const std::string& class_name);
// Entries renamed ("nb_filter" -> "filters", "border_mode" -> "padding", ...); a config of Keras 2 stays as it is.
nlohmann::json keras1_config(const std::string& class_name, const nlohmann::json& config);

}  // namespace midstream::keras
