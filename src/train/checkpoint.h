// The whole state of a run in one safetensors file: every variable in the source's layout, and where the loop stands.
#pragma once

#include <optional>
#include <string>

#include "train/trainer.h"

namespace midstream {

void write_checkpoint(const std::string& path, const Trainer& trainer, const DataPosition& position);
// Throws Error(Mismatch) if the file is another model's.
DataPosition read_checkpoint(const std::string& path, Trainer& trainer);

std::string checkpoint_path(const std::string& folder, int64_t step);
// The checkpoint with the highest step in the folder.
std::optional<std::string> newest_checkpoint(const std::string& folder);

}  // namespace midstream
