// A run written back: as the same kind of file that it came from, or as a PyTorch package directory.
#pragma once

#include <string>

#include "train/run.h"

namespace midstream {

// `path` ends in ".keras" or ".h5": a copy of the file that the run came from, with the present weights, statistics,
// slots, step and learning rate. Throws Error(Usage) when the kind is not the source's.
void save(Run& run, const std::string& path);

// What save would refuse before it writes: another kind of file, a directory that is not there or not writable.
void check_destination(const Run& run, const std::string& path);

}  // namespace midstream
