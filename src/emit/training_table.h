// How optimizers, losses and schedules are spelt with torch: rows of print_table_training.cpp.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace midstream::emit {

using json = nlohmann::json;

struct OptimizerText {
  std::string constructor;               // "torch.optim.Adam(parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-07)"
  std::vector<std::string> differences;  // from Keras' rule, one line each
  // Keras' slot -> Python: the entry of torch's state made of it ("exp_avg", "{slot}").
  std::vector<std::pair<std::string, std::pair<std::string, std::string>>> slots;
};
// Nothing: torch.optim has no such optimizer.
std::optional<OptimizerText> optimizer_text(const std::string& class_name, const json& config);
// An expression of `prediction`, of `rank` axes, and `target` (floating or indices); nothing: no plain spelling.
std::optional<std::string> loss_text(const std::string& class_name, const json& config, int rank);
// The learning rate at `step`, an expression.
std::optional<std::string> schedule_text(const std::string& class_name, const json& config);

}  // namespace midstream::emit
