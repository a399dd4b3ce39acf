// A program: what every front door delivers. One graph from the model's inputs to its outputs (both modes), and the
// variables it shares with whatever else is built on the same model.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "run/executor.h"
#include "run/variable_store.h"

namespace midstream {

class Program {
 public:
  Program(std::unique_ptr<Graph> forward, std::shared_ptr<VariableStore> variables)
      : forward_(std::move(forward)), variables_(std::move(variables)) {}

  const Graph& forward() const { return *forward_; }
  const std::shared_ptr<VariableStore>& variables() const { return variables_; }

  // Runs the graph; plans it at the first call of each mode. In training, state (BatchNorm statistics, seed counters)
  // is written.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, bool training);
  const Executor& executor(bool training);

 private:
  std::unique_ptr<Graph> forward_;
  std::shared_ptr<VariableStore> variables_;
  std::unique_ptr<Executor> executors_[2];
  std::mutex mutex_;
};

}  // namespace midstream
