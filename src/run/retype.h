// A graph in another floating-point type: what Module::to(dtype) means.
#pragma once

#include <memory>

#include "graph/graph.h"

namespace midstream {

// A copy whose floating values, constants and dtype arguments are all of type `to`. Its variables are the graph's own:
// VariableStore::to(DType) converts those.
std::unique_ptr<Graph> with_floats_of(const Graph& graph, DType to);
bool has_floats_of_only(const Graph& graph, DType dtype);

}  // namespace midstream
