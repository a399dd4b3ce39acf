// Which entries the configs of losses, metrics, optimizers, schedules, regularizers and constraints may have. (Layers
// declare theirs where they are lowered: Layer::expect_config.)
#pragma once

#include <string>

#include "frontend/keras/model.h"

namespace midstream::keras {

// The class name, followed by the entries of `config` that nothing here knows: "Huber(scale=2.0)". Such a name has no
// lowering, so that the object is refused by name where it is to be used, and nowhere else. An entry of null is not
// set.
std::string name_with_unknown_entries(const std::string& class_name, const json& config);

}  // namespace midstream::keras
