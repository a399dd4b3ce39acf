// An optimizer of compile() as a handful of small graphs, one for each thing that happens to gradients and variables in
// a step. They take everything as inputs, so that whoever runs them may cut big variables into pieces and join small
// ones (where the rule is elementwise, which is said here).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lower/keras/training.h"

namespace midstream::keras {

// A gradient as a graph's input.
struct GradientType {
  Type variable;        // dtype and shape of the variable; kUnknown where it is cut into pieces
  bool slices = false;  // occurrences of rows
  friend bool operator==(const GradientType&, const GradientType&) = default;
};

// The slots of a variable as files lay them down, run by run (OptimizerRule::SlotSpec::run); the moving average and the
// accumulator first. Nothing where the optimizer has no lowering.
using SlotRuns = std::vector<std::vector<OptimizerRule::SlotSpec>>;
SlotRuns slot_runs(const json& description, const TrainedVariable& variable);

// The loss is differentiated times `initial`, or what has become of it, and the gradients are divided by it again.
struct LossScale {
  bool dynamic = false;  // else it stays
  double initial = 1;
  int64_t growth_steps = 0;  // so many finite steps double it
  // Keras 3 counts no step that it skips; Keras 2 does, multiplies by the inverse and keeps the scale finite and above 1.
  bool keras3 = true;
};

class Optimizer {
 public:
  // `description`: {"class_name", "config"} of compile(). Throws Error(Unsupported).
  Optimizer(const json& description, const Rules& rules, const Dialect& dialect);

  using Slot = OptimizerRule::SlotSpec;
  std::vector<Slot> slots_of(const TrainedVariable& variable) const { return rule_->slots_of(variable); }
  const std::vector<Slot>& rule_slots() const { return rule_slots_; }  // of elementwise rules
  const std::vector<Slot>& scalars() const { return scalars_; }
  // OptimizerRule::scalar_after, where `batches` batches were seen.
  double scalar_after(const std::string& name, int64_t batches, size_t variables) const {
    return rule_->scalar_after(name, batches / accumulation_, variables);
  }
  bool keeps_average() const { return ema_; }             // slot "average" besides
  bool average_starts_as_variable() const;                // Keras 2: the moving average starts as a copy
  int64_t accumulation() const { return accumulation_; }  // > 1: slot "gradient_accumulator" besides
  const std::optional<LossScale>& loss_scale() const { return loss_scale_; }
  bool has_schedule() const { return schedule_ != nullptr; }
  double learning_rate() const { return learning_rate_; }
  bool clips() const { return clip_norm_ > 0 || clip_value_ > 0 || global_norm_ > 0; }
  bool clips_all_together() const { return global_norm_ > 0; }

  // step, learning_rate, scalars... -> prepared values, new scalars, then (keeps_average) momentum and overwrite flag.
  // `step` counts batches (int64); the learning rate is an input even where a schedule gives it (it is then unused).
  std::unique_ptr<Graph> prepare(DType dtype) const;
  size_t prepared_count(DType dtype) const;  // how many prepared values there are
  // step -> learning rate; null without a schedule.
  std::unique_ptr<Graph> schedule() const;
  // values, [indices], ... -> values clipped, one for each gradient, dense for those in `becomes_dense`. The variables
  // of slices are inputs too (their shape is needed): values, indices, variable.
  std::unique_ptr<Graph> clip(const std::vector<GradientType>& gradients) const;
  // Keras 3's global_clipnorm turns occurrences into a dense gradient.
  bool clip_makes_dense() const { return global_norm_ > 0 && !rule_->merged_gradients; }
  // variable, values, [indices], slots..., prepared... -> new variable, new slots. `whole`: of a rule that is not
  // elementwise, the variable; everything has the file's layout then.
  std::unique_ptr<Graph> update(const GradientType& gradient, size_t prepared,
                                const TrainedVariable* whole = nullptr) const;
  // average, variable, momentum, overwrite -> new average, new variable
  std::unique_ptr<Graph> average(const Type& variable) const;
  // accumulator, values, [indices] -> accumulator + gradient; `divide`: their mean over the accumulated steps
  std::unique_ptr<Graph> accumulate(const GradientType& gradient, bool divide) const;
  // True if update of a dense gradient may work on pieces of variables.
  bool elementwise() const { return rule_->elementwise(); }

 private:
  struct Draft;
  Values gradient_inputs(Builder& b, const GradientType& type, Gradient& out) const;

  const Dialect& dialect_;
  const Rules rules_;
  std::string class_name_;
  json config_;
  std::unique_ptr<OptimizerRule> rule_;
  std::vector<Slot> rule_slots_, scalars_;
  const ScheduleFn* schedule_ = nullptr;
  json schedule_config_;
  double learning_rate_ = 0, decay_ = 0, weight_decay_ = 0;
  double clip_norm_ = 0, clip_value_ = 0, global_norm_ = 0;
  bool legacy_ = false;
  bool ema_ = false;
  double ema_momentum_ = 0;
  int64_t ema_overwrite_ = 0, accumulation_ = 1;
  std::optional<LossScale> loss_scale_;
};

}  // namespace midstream::keras
