// What files say about LossScaleOptimizer.
#pragma once

#include <string>
#include <vector>

#include "frontend/keras/canonical.h"

namespace midstream::keras {

// The optimizer inside a LossScaleOptimizer with this config, canonical, its config with the entry "loss_scale":
// {"dynamic", "initial_scale", "dynamic_growth_steps"}.
json without_loss_scale_optimizer(const std::string& class_name, const json& config, const WrittenBy& by);

// Takes the arrays of the wrapper off file.optimizer's. `outer`: all arrays under the wrapper. `inner_known`: its
// optimizer's arrays stand once more by themselves, and are file.optimizer->all already.
void split_loss_scale(File& file, const std::vector<FileArray>& outer, bool inner_known);

// Adds the entry "loss_scale" where compile() made a LossScaleOptimizer by itself. `wrapped`: the file has its arrays.
void imply_loss_scale(File& file, bool wrapped);

}  // namespace midstream::keras
