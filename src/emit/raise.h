// Graph -> steps: every call becomes a module (where the print table knows one that trains the same) or an expression,
// every region an if or a while.
#pragma once

#include "emit/code.h"
#include "emit/emit.h"

namespace midstream::emit {

// The program as one module without class, program.model, its steps in the graph's order.
Program raise(const Graph& graph, const EmitOptions& options);

}  // namespace midstream::emit
