// A TensorFlow file lowered into one graph: a signature, a frozen graph's placeholders and ends, or a function.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frontend/tensorflow/source.h"
#include "graph/builder.h"

namespace midstream::tensorflow {

using FedShapes = std::map<std::string, Dims>;  // by input; "" where there is only one

struct LowerOptions {
  // A signature, or tensors of the graph ("pred", "logits:0,loss:0"). Empty: "serving_default", else the only one, else
  // the first that takes numbers; of a bare graph the tensors that nobody consumes.
  std::string signature;
  std::string function;  // a concrete function of the object graph instead of a signature
  // Of the arrays that are there to be fed. They are asked for what the file leaves open (ranks; not the batch), or
  // with `exact` for everything: some graphs run for some sizes only.
  FedShapes fed;
  bool exact = false;
};

// Adds the file's variables that the graph uses to `variables` (trainable as the file says; a frozen graph's weights
// are trainable) and returns the graph. Variable::source is the checkpoint key, or the Const node's name in a frozen
// graph. Throws Error(Unsupported) that lists every op without a lowering.
std::unique_ptr<Graph> lower_graph(const File& file, std::shared_ptr<Variables> variables, const Dialect& dialect,
                                   const LowerOptions& options = {});

// What has no lowering in the default or the named signature: op -> the nodes that want it.
using Missing = std::map<std::string, std::vector<std::string>>;
Missing unsupported(const File& file, const Dialect& dialect, const std::string& signature = {});

// Names of the file's signatures that can be run with numbers, the default first.
std::vector<std::string> signatures(const File& file);

}  // namespace midstream::tensorflow
