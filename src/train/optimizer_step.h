// Applies an optimizer's graphs to the variables of a store. Elementwise rules run on pieces: all small variables
// joined into one flat buffer (a few calls instead of hundreds), big ones cut into parts that stay in the processor's
// cache. The bits are the same as when each variable is updated by itself.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lower/keras/optimizer_graphs.h"
#include "run/executor.h"

namespace midstream {

// The gradient of one variable: undefined (no dependence on it), dense, or occurrences of rows.
struct VariableGradient {
  at::Tensor values;
  at::Tensor indices;  // defined: occurrences
};

class PointwiseProgram;

class OptimizerStep {
 public:
  // `trainable`: names in Keras' order. Creates the optimizer's variables in the store's table, unless they are there:
  // "optimizer/iteration", "optimizer/learning_rate" (without a schedule), "optimizer/<variable>/<slot>".
  OptimizerStep(std::unique_ptr<keras::Optimizer> optimizer, std::shared_ptr<VariableStore> variables,
                std::vector<std::string> trainable, DType floatx);
  ~OptimizerStep();

  static std::string slot_variable(const std::string& variable, const std::string& slot) {
    return "optimizer/" + variable + "/" + slot;
  }
  const keras::Optimizer& optimizer() const { return *optimizer_; }
  const std::vector<std::string>& trainable() const { return trainable_; }
  int64_t iterations();
  double learning_rate();
  void set_learning_rate(double value);  // throws Error(Usage) with a schedule

  // What the loss is multiplied by before it is differentiated for apply().
  double loss_scale();
  // One step, as Keras' apply_gradients: clipping, weight decay, rule, moving averages; the counter goes up by one.
  // `scaled`: of the loss times loss_scale(). False: a gradient was not finite and a dynamic scale skipped the step.
  bool apply(std::vector<VariableGradient> gradients, bool scaled);
  // What Keras' fit does at its end: variables become their moving averages, where there are any.
  void finalize();
  // Forgets which tensors belong to which variable; called when the store's tensors were replaced.
  void forget();

 private:
  struct Prepared;
  struct Plan;
  void create_variables(DType floatx);
  bool unscale(std::vector<VariableGradient>& gradients, bool scaled);  // false: not finite
  void clip(std::vector<VariableGradient>& gradients);
  bool accumulate(std::vector<VariableGradient>& gradients);
  void update(const std::vector<VariableGradient>& gradients, const std::map<DType, Prepared>& prepared);
  // The rule on a whole variable in the file's layout; on one with a gradient of rows as it is.
  void update_whole(const std::string& name, const VariableGradient& gradient, const Prepared& prepared);
  std::vector<keras::Optimizer::Slot> slots_of(const Variable& variable) const;
  void average(const std::map<DType, Prepared>& prepared);
  Prepared prepare(DType dtype, bool advance);                    // advance: write the shared scalars
  const PointwiseProgram* program(DType dtype, size_t prepared);  // null: the rule has to be executed
  const Executor& executor(const std::string& key, const std::function<std::unique_ptr<Graph>()>& graph);

  std::unique_ptr<keras::Optimizer> optimizer_;
  std::shared_ptr<VariableStore> variables_;
  std::vector<std::string> trainable_;
  DType floatx_;
  std::map<std::string, std::unique_ptr<Executor>> executors_;
  std::shared_ptr<VariableStore> here_, host_;  // empty stores: where the graphs' own tensors are made
  std::unique_ptr<Plan> plan_;
};

}  // namespace midstream
