// A model as PyTorch source and weights.
#pragma once

#include <memory>
#include <string>

#include "emit/emit.h"
#include "formats/npz.h"
#include "open.h"
#include "train/run.h"

namespace midstream {

struct ConvertOptions {
  OpenOptions which = {};
  bool exact_random = false;
};

struct Converted {
  EmittedModule module;
  std::shared_ptr<VariableStore> variables;  // module.tensors names them
  NamedArrays weights;                       // state_dict key -> value
  std::string file;
  // By convert_with_training:
  std::string readme;       // README.md
  std::string training;     // training.py of a Keras file that was compiled
  NamedArrays state;        // what state.safetensors holds then
  std::string no_training;  // why there is none, where the file would have one: one sentence
};

Converted convert(const std::string& path, const ConvertOptions& options = {});
// The same of a graph that is open already; `file` is its name for the source's header. Weights are left out: whoever
// has the variables needs no copies of them.
Converted convert(const Graph& graph, std::shared_ptr<VariableStore> variables, const std::string& file,
                  const ConvertOptions& options = {});
// The first, what to say about it, and how to go on training it in plain PyTorch.
Converted convert_with_training(const std::string& path, const ConvertOptions& options = {});
// The same of a training, as it stands now.
Converted convert_with_training(Run& run, const ConvertOptions& options = {});
// What convert_with_training gives: DIR/model.py, weights.safetensors, README.md, and training.py and state.safetensors
// if there are, each written atomically.
void write_package(const Converted& converted, const std::string& directory);

}  // namespace midstream
