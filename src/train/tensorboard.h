// What Keras' TensorBoard callback writes about epochs: DIR/train with epoch_loss, epoch_<metric> and
// epoch_learning_rate, DIR/validation with the same of the "val_" entries.
#pragma once

#include <optional>
#include <string>

#include "formats/event_file.h"
#include "train/run.h"

namespace midstream {

class TensorBoard {
 public:
  // Nothing is written before the first epoch.
  explicit TensorBoard(std::string directory) : directory_(std::move(directory)) {}
  void epoch(int64_t epoch, const Logs& logs, double learning_rate);

 private:
  std::string directory_;
  std::optional<EventFile> train_, validation_;
};

}  // namespace midstream
