// The whole state of a run in one safetensors file: every variable in the source's layout, and where the loop stands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "train/trainer.h"

namespace midstream {

// What the order of the batches follows from.
struct DataOrder {
  int64_t samples = 0, batch_size = 0;
  bool shuffle = false;
  uint64_t seed = 0;
};

void write_checkpoint(const std::string& path, const Trainer& trainer, const DataPosition& position,
                      const std::optional<DataOrder>& order = std::nullopt);
// Throws Error(Mismatch) if the file is another model's, or of a loop over other batches than `order`; nothing was
// changed then.
DataPosition read_checkpoint(const std::string& path, Trainer& trainer,
                             const std::optional<DataOrder>& order = std::nullopt);

std::string checkpoint_path(const std::string& folder, int64_t step);
// The checkpoint with the highest step in the folder.
std::optional<std::string> newest_checkpoint(const std::string& folder);

}  // namespace midstream
