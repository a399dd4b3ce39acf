// A run written back: as the same kind of file that it came from, or as a PyTorch package directory.
#pragma once

#include <map>
#include <string>

#include "open.h"
#include "train/run.h"

namespace midstream {

// `path` ends in ".keras" or ".h5": a copy of the file that the run came from, with the present weights, statistics,
// slots, step and learning rate. Throws Error(Usage) when the kind is not the source's. A name without ending: a
// directory with the model as PyTorch source, its weights and slots (convert.h).
void save(Run& run, const std::string& path);

// Weights trained elsewhere, by the variables' names and in their stored layout, into a copy of the file that they came
// from (`which`: what of it was opened): .keras, .h5, a SavedModel directory, a checkpoint prefix, a frozen .pb.
// Everything else in the file stays; an optimizer's state too.
void save_variables(const std::string& source, const OpenOptions& which,
                    const std::map<std::string, at::Tensor>& values, const std::string& path);

// What save would refuse before it writes: another kind of file, a directory that is not there or not writable, a model
// that has no spelling in PyTorch.
void check_destination(Run& run, const std::string& path);

}  // namespace midstream
