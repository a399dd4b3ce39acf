// Opens any file that a front door of midstream reads.
#pragma once

#include <memory>
#include <string>

#include "run/program.h"

namespace midstream {

// The model in `path` for running and differentiating; train/run.h opens it for training. Throws Error.
std::unique_ptr<Program> open_program(const std::string& path);

}  // namespace midstream
