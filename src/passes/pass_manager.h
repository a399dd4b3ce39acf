// Runs passes over a graph: dce after each one that changed something, and, where asked for, the verifier and an
// observer (`--dump-after`).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "passes/passes.h"

namespace midstream {

struct Pass {
  const char* name;
  bool (*run)(Graph&, const Dialect&);
};

// The order in which they run (pipeline.cpp).
const std::vector<Pass>& pipeline();

struct PassOptions {
  std::optional<bool> training;  // make a graph for one mode
  bool verify = false;           // after every pass; throws Error(Internal) naming the pass
  std::function<void(const std::string& pass, const Graph&)> after;
};

// True if anything changed.
bool run_passes(Graph& graph, const Dialect& dialect, const PassOptions& options = {});
bool run_pass_list(Graph& graph, const Dialect& dialect, const std::vector<Pass>& passes,
                   const PassOptions& options = {});

}  // namespace midstream
