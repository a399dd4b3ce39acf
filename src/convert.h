// A model as PyTorch source and weights.
#pragma once

#include <memory>
#include <string>

#include "emit/emit.h"
#include "formats/npz.h"
#include "open.h"

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
  // Of a Keras file that was compiled; empty otherwise.
  std::string training, readme;  // training.py, and the README.md that goes with it
  NamedArrays state;             // what state.safetensors holds
  std::string no_training;       // why there is none, where the file would have one: one sentence
};

Converted convert(const std::string& path, const ConvertOptions& options = {});
// The same of a graph that is open already; `file` is its name for the source's header. Weights are left out: whoever
// has the variables needs no copies of them.
Converted convert(const Graph& graph, std::shared_ptr<VariableStore> variables, const std::string& file,
                  const ConvertOptions& options = {});
// The first, and how to go on training it in plain PyTorch.
Converted convert_with_training(const std::string& path, const ConvertOptions& options = {});
// DIR/model.py, weights.safetensors, README.md, and training.py and state.safetensors if there are, each atomically.
void write_package(const Converted& converted, const std::string& directory);

}  // namespace midstream
