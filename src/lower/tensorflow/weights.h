// Which nodes of a graph are variables, and which constants of a frozen graph are weights.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "frontend/tensorflow/source.h"
#include "graph/variables.h"

namespace midstream::tensorflow {

// VarHandleOp and its forerunners in TensorFlow 1.
bool is_variable_op(const std::string& op);
// Adds the variables to `variables`; node of the main graph -> variable.
std::map<std::string, std::string> add_variables(const File& file, Variables& variables);
// The variable of a checkpoint key, added at the first request. Throws Error(BadFile) if the checkpoint lacks it.
std::string add_variable(const File& file, Variables& variables, const std::string& key, const std::string& name);

}  // namespace midstream::tensorflow
