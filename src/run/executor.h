// Runs a graph: boxed dispatcher calls under autograd, on any device. An Executor is immutable after construction and
// may run in several threads at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "graph/graph.h"
#include "run/variable_store.h"

namespace midstream {

class Executor {
 public:
  // Specializes the graph for one mode, plans value lifetimes, resolves every operator.
  // `optimize` false: runs the graph as it is, both branches of the training flag included.
  Executor(const Graph& graph, std::shared_ptr<VariableStore> variables, bool training, bool optimize = true);
  ~Executor();
  Executor(Executor&&) noexcept;

  // inputs in the graph's order; returns the outputs in order (a host integer or bool output comes as 0-d tensor).
  // Assigned variables are written under no_grad when every node has run; with `assign` false they are left alone.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, bool assign = true) const;

  // Calls `observe(node, outputs)` after every node, for traces.
  using Observer = std::function<void(const Node&, const std::vector<at::Tensor>&)>;
  std::vector<at::Tensor> run_observed(const std::vector<at::Tensor>& inputs, const Observer& observe) const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace midstream
