// What losses, metrics, optimizers, schedules, regularizers and constraints are: functions that append to a graph,
// like layers. Configs are canonical (frontend/keras). Formulas live in lower/math.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "graph/builder.h"

namespace midstream::keras {

using json = nlohmann::json;

// Where Keras 3 and Keras 2 (tf_keras) compute differently; resolved from the file once (rules_for), so that no
// formula asks for a version.
struct Rules {
  DType floatx = DType::Float32;      // keras.config.floatx(): what losses and metrics compute in
  double epsilon = 1e-7;              // keras.config.epsilon()
  bool losses_in_floatx = true;       // Keras 3 casts predictions to floatx before the loss; Keras 2 leaves them
  bool epsilon_in_log = false;        // Keras 2: binary crossentropy adds epsilon inside the logarithms
  bool smooth_by_class_axis = false;  // Keras 2: label smoothing counts the classes along `axis`, not the last one
  bool floored_norm = false;          // Keras 2: cosine similarity normalizes with rsqrt(max(sum, 1e-12))
  bool ignored_before_logits = true;  // Keras 3: ignore_class hides the activation behind the predictions
  bool mask_counts_twice = false;     // Keras 2: a mask of the predictions weighs the loss both before and inside it
  bool weights_match_rank = false;    // Keras 2: [n] targets and weights become [n, 1] beside [n, c] predictions
  bool metrics_per_sample = true;     // Keras 3: metrics average each sample first
  bool float32_factors = true;        // Keras 3: regularizers' factors pass through float32
  bool float32_delta = false;         // Keras 2: Huber's delta passes through float32
};

Rules rules_for(bool keras3, DType floatx);

using ActivationFn = std::function<Value(Builder&, const json& config, Value)>;
// Scalar penalty of w.
using RegularizerFn = std::function<Value(Builder&, const json& config, const Rules&, Value w)>;
// The constrained w.
using ConstraintFn = std::function<Value(Builder&, const json& config, const Rules&, Value w)>;
// 0-d float32 learning rate at `step` (0-d int64).
using ScheduleFn = std::function<Value(Builder&, const json& config, Value step)>;

// The unreduced loss: one value per sample (and per remaining axis), as Keras' Loss.call gives it, with a mask of its
// own where some values do not count (ignore_class). Reduction, sample weights and masks are generic (reduction.h).
struct Losses {
  Value values;
  Value mask;  // bool; null: all count
};
using LossFn = std::function<Losses(Builder&, const json& config, const Rules&, Value y_true, Value y_pred)>;

// A metric: state variables that `update` assigns and a result computed from them.
class Metric {
 public:
  virtual ~Metric() = default;
  // Appends the update of this metric's variables (Role::Metric, created in b.graph().variables under `path`).
  // `sample_weight` and the mask of the predictions may be null.
  virtual void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask,
                      Value sample_weight) = 0;
  virtual Value result(Builder& b, const std::string& path) = 0;
};
using MetricFn = std::function<std::unique_ptr<Metric>(const json& config, const Rules&)>;

// A gradient keeps TensorFlow's form: dense, or a list of (row, gradient) with one entry per occurrence of a row
// (IndexedSlices: the gradient of an embedding table).
struct Gradient {
  Value values;   // dense: like the variable; slices: [n, ...row shape]
  Value indices;  // null: dense. int64 [n]
  bool is_slices() const { return static_cast<bool>(indices); }
};

// A variable that is trained, as the file has it.
struct TrainedVariable {
  std::string path;  // "block/dense/kernel"
  Dims dims;
};

// An optimizer's rule for one variable: its formula, its slots and their places in files.
class OptimizerRule {
 public:
  virtual ~OptimizerRule() = default;
  // A slot of a variable, or (scalars()) a value for all, in Keras 3's words.
  struct SlotSpec {
    std::string name;
    double initial = 0;
    // Keras goes once over the variables for each run and lays down the run's slots for each: Adam's momentum and
    // velocity, interleaved, are one run, and RMSprop's three slots are three.
    int run = 0;
    std::optional<Dims> dims = {};    // in the file's layout, where they are not the variable's
    std::optional<DType> dtype = {};  // where it is not the variable's
    bool copies_variable = false;     // starts as a copy of it
  };
  // The slots that each trainable variable has, in Keras 3's order.
  virtual std::vector<SlotSpec> slots() const = 0;
  // The same where they depend on the variable; only for rules that are not elementwise.
  virtual std::vector<SlotSpec> slots_of(const TrainedVariable&) const { return slots(); }
  // False: apply() wants whole variables, in the file's layout (it takes norms, or factors by axes).
  virtual bool elementwise() const { return true; }
  virtual double default_learning_rate() const { return 0.001; }
  // The weight decay of a variable with these slots, where compile() says `given` (0: none).
  virtual double weight_decay(double given, size_t /*slots*/) const { return given; }
  // 0-d values that all variables share and that change from step to step (Nadam's product), with their initial value.
  virtual std::vector<SlotSpec> scalars() const { return {}; }
  // The value of scalar `name` after `updates` updates of `variables` variables, for files that do not hold it.
  virtual double scalar_after(const std::string& name, int64_t updates, size_t variables) const;
  // 0-d values, functions of the step and the learning rate, that all variables use: Adam's bias corrections. Computed
  // once per step. `step` counts from 0; `scalars` are the values before the step.
  struct Prepared {
    Values values;       // what apply() gets, the learning rate in `dtype` first
    Values new_scalars;  // in scalars() order
  };
  virtual Prepared prepare(Builder& b, Value learning_rate, Value step, const Values& scalars, DType dtype) const;
  struct Update {
    Value variable;  // the new variable
    Values slots;    // the new slots, in slots() order
  };
  virtual Update apply(Builder& b, const Values& prepared, Value variable, const Gradient& gradient,
                       const Values& slots) const = 0;
  // True where duplicates among the occurrences are summed before the rule (Keras 2).
  bool merged_gradients = false;
};
using OptimizerFn = std::function<std::unique_ptr<OptimizerRule>(const json& config)>;

}  // namespace midstream::keras
