// What losses, metrics, optimizers, schedules, regularizers and constraints are: functions that append to a graph,
// like layers. Configs are canonical (frontend/keras). Formulas live in lower/math.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "graph/builder.h"

namespace midstream::keras {

using json = nlohmann::json;

using ActivationFn = std::function<Value(Builder&, const json& config, Value)>;
using RegularizerFn = std::function<Value(Builder&, const json& config, Value w)>;      // scalar penalty
using ConstraintFn = std::function<Value(Builder&, const json& config, Value w)>;       // the constrained w
using ScheduleFn = std::function<Value(Builder&, const json& config, Value step)>;      // 0-d learning rate

// The unreduced loss, one value per sample (and per remaining axis), as Keras' Loss.call gives it; reduction, sample
// weights and masks are generic (losses.h).
using LossFn = std::function<Value(Builder&, const json& config, Value y_true, Value y_pred)>;

// A metric: state variables that `update` assigns and a result computed from them.
class Metric {
 public:
  virtual ~Metric() = default;
  // Appends the update of this metric's variables (Role::Metric, created in b.graph().variables under `path`).
  virtual void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value sample_weight) = 0;
  virtual Value result(Builder& b, const std::string& path) = 0;
};
using MetricFn = std::function<std::unique_ptr<Metric>(const json& config)>;

// A gradient keeps TensorFlow's form: dense, or a list of (row, gradient) with one entry per occurrence of a row
// (IndexedSlices: the gradient of an embedding table).
struct Gradient {
  Value values;   // dense: like the variable; slices: [n, ...row shape]
  Value indices;  // null: dense. int64 [n]
  Ints rows;      // slices: {number of rows}, the variable's first size
  bool is_slices() const { return static_cast<bool>(indices); }
};

// An optimizer's rule for one variable.
class OptimizerRule {
 public:
  virtual ~OptimizerRule() = default;
  // Names of the slots that each trainable variable has, in Keras' order, and their initial value.
  struct SlotSpec {
    std::string name;
    double initial = 0;
  };
  virtual std::vector<SlotSpec> slots() const = 0;
  // True if the rule treats each element of a variable by itself, so that variables may be cut, joined and permuted.
  virtual bool elementwise() const { return true; }
  // 0-d values that all variables share (Adam's bias corrections); computed once per step.
  virtual Values prepare(Builder& b, Value learning_rate, Value iterations, DType dtype) = 0;
  struct Update {
    Value variable;      // the new variable
    Values slots;        // the new slots, in slots() order
  };
  virtual Update apply(Builder& b, const Values& prepared, Value learning_rate, Value variable, const Gradient& gradient,
                       const Values& slots) = 0;
};
using OptimizerFn = std::function<std::unique_ptr<OptimizerRule>(const json& config)>;

}  // namespace midstream::keras
