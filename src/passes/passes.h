// The passes. Each is idempotent, keeps what the graph computes (values and gradients), keeps every Origin, and says
// whether it changed anything. What a pass leaves unused is swept away by dce, which the pass manager runs after every
// change; so dce is in no list.
#pragma once

#include "graph/dialect.h"
#include "graph/graph.h"

namespace midstream {

// Given a graph with a training leaf; result: the leaf is the constant `training`, so that fold_regions takes one
// branch.
bool specialize_training(Graph& graph, bool training);

// Given calls with host constants; result: they are written into the arguments, calls of constants alone that give host
// numbers are constants themselves, and so are sizes that the types know.
bool fold_ints(Graph& graph, const Dialect& dialect);

// Given an `if` whose predicate is a constant; result: the taken block stands in its place, and the types that follow
// from it are inferred anew (one branch is known better than the join of both).
bool fold_regions(Graph& graph, const Dialect& dialect);

// Given types that became stale (an argument is known better than before); result: all types as the Builder would have
// made them.
bool infer_types(Graph& graph, const Dialect& dialect);

// Given equal calls (never random ones) or equal small constants; result: one of them, the first.
bool cse(Graph& graph, const Dialect& dialect);

// Given permutes around channels-last operators; result: inverse ones cancel, the others have slid down through
// elementwise operators, concatenation, padding, slices, reductions and branches as far as they go.
bool cancel_permutes(Graph& graph, const Dialect& dialect);

// Given values that nobody uses; result: none. Assignments and calls without results stay.
bool dce(Graph& graph);

}  // namespace midstream
