// A TensorFlow file lowered into one graph: a signature, a frozen graph's placeholders and ends, or a function.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frontend/tensorflow/source.h"
#include "graph/builder.h"

namespace midstream::tensorflow {

struct LowerOptions {
  std::string signature;  // empty: "serving_default", else the only one, else the first that takes numbers
  std::string function;   // a concrete function of the object graph instead of a signature
};

// Adds the file's variables that the graph uses to `variables` (trainable as the file says; a frozen graph's weights are
// trainable) and returns the graph. Variable::source is the checkpoint key, or the Const node's name in a frozen graph.
// Throws Error(Unsupported) that lists every op without a lowering.
std::unique_ptr<Graph> lower_graph(const File& file, std::shared_ptr<Variables> variables, const Dialect& dialect,
                                   const LowerOptions& options = {});

// Names of the file's signatures that can be run with numbers, the default first.
std::vector<std::string> signatures(const File& file);

}  // namespace midstream::tensorflow
