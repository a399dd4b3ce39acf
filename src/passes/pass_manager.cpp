#include "passes/pass_manager.h"

#include "base/error.h"

namespace midstream {
namespace {

void finish(Graph& graph, const Dialect& dialect, const std::string& pass, bool changed, const PassOptions& options) {
  if (changed) dce(graph);
  if (options.verify) {
    try {
      verify(graph, &dialect);
    } catch (const Error& e) {
      throw e.at("after pass " + pass);
    }
  }
  if (options.after) options.after(pass, graph);
}

}  // namespace

bool run_pass_list(Graph& graph, const Dialect& dialect, const std::vector<Pass>& passes, const PassOptions& options) {
  bool any = dce(graph);
  if (options.training) {
    const bool changed = specialize_training(graph, *options.training);
    finish(graph, dialect, "specialize_training", changed, options);
    any |= changed;
  }
  for (const Pass& pass : passes) {
    const bool changed = pass.run(graph, dialect);
    finish(graph, dialect, pass.name, changed, options);
    any |= changed;
  }
  return any;
}

bool run_passes(Graph& graph, const Dialect& dialect, const PassOptions& options) {
  return run_pass_list(graph, dialect, pipeline(), options);
}

}  // namespace midstream
