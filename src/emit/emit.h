// graph -> the Python source of a torch.nn.Module that a PyTorch programmer would have written, and the manifest that
// tells which entry of its state_dict is which variable. The source needs torch and safetensors only.
//
// The graph is the prediction graph with its training leaf; run passes/ on it first (cancel_permutes above all: this
// room prints what it is given). Throws Error(Unsupported), naming every operator that has no spelling.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace midstream {

struct EmitOptions {
  std::string class_name;     // of the model; empty: from the graph's name
  std::string source_file;    // for the header comment: "resnet50.keras"
  std::string written_by;     // for the header comment: "Keras 3.15.1"
  bool exact_random = false;  // dropout and noise draw TensorFlow's bits instead of torch's
};

// One entry of the state_dict that holds a variable, in the variable's stored layout.
struct EmittedTensor {
  std::string key;       // "layer1.0.conv1.weight"
  std::string variable;  // name in Variables
  bool is_buffer = false;
};
// One entry of the state_dict that holds a constant of the graph.
struct EmittedConstant {
  std::string key;
  Array array;
};

struct EmittedModule {
  std::string source;
  std::string class_name;
  int inputs = 0;                 // how many the model's forward takes
  std::vector<int> output_ranks;  // of what it returns
  std::vector<EmittedTensor> tensors;
  std::vector<EmittedConstant> constants;
};

EmittedModule emit_module(const Graph& graph, const EmitOptions& options = {});

}  // namespace midstream
