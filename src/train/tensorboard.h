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
  // Throws Error(Usage) for a directory that cannot be written to.
  explicit TensorBoard(const std::string& directory) : directory_(directory), train_(directory + "/train") {}
  void epoch(int64_t epoch, const Logs& logs, double learning_rate);

 private:
  std::string directory_;
  EventFile train_;
  std::optional<EventFile> validation_;
};

}  // namespace midstream
