// What metrics share: their state.
#pragma once

#include "lower/keras/config.h"
#include "lower/keras/reduction.h"
#include "lower/keras/training.h"

namespace midstream::keras {

// The state variable `path`/`name` (made at the first request), zeros at the start of every epoch.
Value metric_state(Builder& b, const std::string& path, const std::string& name, const Dims& dims, DType dtype);

// Keras' Mean: total and count. Subclasses say what is averaged.
class MeanMetric : public Metric {
 public:
  explicit MeanMetric(const Rules& rules) : rules(rules) {}
  void update(Builder& b, const std::string& path, Value y_true, Value y_pred, Value mask,
              Value sample_weight) override;
  Value result(Builder& b, const std::string& path) override;
  // Adds values (any rank, weights may be null) to the mean.
  void add(Builder& b, const std::string& path, Losses values, Value sample_weight);

 protected:
  virtual Losses values(Builder& b, Value y_true, Value y_pred) = 0;
  const Rules rules;

 private:
  void add_per_sample(Builder& b, const std::string& path, Losses values, Value sample_weight);
  void add_all(Builder& b, const std::string& path, Losses values, Value sample_weight);
  void accumulate(Builder& b, const std::string& path, Value total, Value count);
};

// The mean of a loss over the batches of an epoch ("loss" in the logs), each weighing its number of samples.
class LossTracker final : public MeanMetric {
 public:
  using MeanMetric::MeanMetric;
  void update_loss(Builder& b, const std::string& path, Value loss, const Int& samples);

 protected:
  Losses values(Builder&, Value, Value) override { return {}; }
};

}  // namespace midstream::keras
