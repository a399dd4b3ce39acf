// The machinery behind Run: the step's graph and its executors, gradients, the optimizer, metrics.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "data/batch.h"
#include "frontend/keras/model.h"
#include "lower/keras/train_graph.h"
#include "run/executor.h"
#include "train/optimizer_step.h"
#include "train/run.h"
#include "train/threads.h"

namespace midstream {

class Trainer {
 public:
  Trainer(std::shared_ptr<keras::File> file, const RunOptions& options);

  const keras::File& file() const { return *file_; }
  const Graph& forward() const { return *lowered_.graph; }
  const std::vector<std::string>& trainable() const { return lowered_.trainable; }
  const std::shared_ptr<VariableStore>& variables() const { return variables_; }
  OptimizerStep* optimizer() { return optimizer_.get(); }
  bool restored_optimizer() const { return restored_; }
  bool can_train() const { return file_->compile.is_object(); }

  // Tensors as the graph wants them: dtype, rank, device. Throws Error(BadData) for what does not fit.
  std::vector<at::Tensor> fit_inputs(const std::vector<at::Tensor>& x) const;

  // What one batch's step needs, from its tensors.
  struct Step;
  Step& step_for(const Batch& batch);
  // Forward in training mode, loss and gradients (of the loss times `scale`); state and metrics are updated.
  Run::Gradients gradients(const Batch& batch, std::vector<VariableGradient>* out, double scale = 1);
  // The optimizer's step and the constraints after it. `scaled`: the gradients are of a scaled loss.
  void apply(std::vector<VariableGradient> gradients, bool scaled = false);
  double train(const Batch& batch);
  double test(const Batch& batch);
  std::vector<at::Tensor> predict(const std::vector<at::Tensor>& x);
  Logs results();
  void reset_metrics();

  History history;

 private:
  void restore_optimizer();
  void start_random_streams(int64_t step);
  std::vector<at::Tensor> step_inputs(const Step& step, const Batch& batch) const;
  keras::StepData data_of(const Batch& batch) const;

  std::shared_ptr<keras::File> file_;
  keras::LoweredModel lowered_;
  std::shared_ptr<VariableStore> variables_;
  std::unique_ptr<Executor> predictor_, constraints_;
  std::unique_ptr<OptimizerStep> optimizer_;
  bool restored_ = false;
  std::vector<bool> wanted_targets_;
  std::vector<std::unique_ptr<Step>> steps_;
  Step* last_ = nullptr;
};

// One kind of batch (which targets and weights there are, of which types): its graph and executors.
struct Trainer::Step {
  keras::StepData data;
  keras::StepGraph graph;
  ValueSizes sizes;
  std::unique_ptr<Executor> train, test, results;
  std::vector<std::string> names;  // of the results
};

}  // namespace midstream
