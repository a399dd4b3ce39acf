#include "train/tensorboard.h"

namespace midstream {

void TensorBoard::epoch(int64_t epoch, const Logs& logs, double learning_rate) {
  Logs train, validation;
  for (const auto& [name, value] : logs) {
    if (name.starts_with("val_"))
      validation.emplace_back("epoch_" + name.substr(4), value);
    else
      train.emplace_back("epoch_" + name, value);
  }
  train.emplace_back("epoch_learning_rate", learning_rate);
  train_.scalars(epoch, train);
  if (validation.empty()) return;
  if (!validation_) validation_.emplace(directory_ + "/validation");
  validation_->scalars(epoch, validation);
}

}  // namespace midstream
