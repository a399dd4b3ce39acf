// DIR/training.py and DIR/README.md of a converted model: how to go on training it with torch.optim, and what differs
// from what Keras (and midstream) would do. `compile` is canonical (frontend/keras/canonical.h); `differences`: what
// the model itself asks for and plain PyTorch does not do, sentences. The README of a model without training: null,
// none.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "emit/emit.h"

namespace midstream {

// What state.safetensors holds: the optimizer's slots by slot and parameter ("momentum.conv1.weight"), in the stored
// layout of the parameter, and "iteration". Only variables that exist.
std::vector<EmittedTensor> emitted_state(const EmittedModule& module, const Variables& variables);

std::string emit_training(const EmittedModule& module, const nlohmann::json& compile,
                          const std::vector<std::string>& differences);
std::string emit_readme(const EmittedModule& module, const EmitOptions& options, const nlohmann::json& compile,
                        const std::vector<std::string>& differences);

}  // namespace midstream
