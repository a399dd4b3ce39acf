// A training (or evaluation) step as one graph: the model, its losses, regularizers, and the updates of its metrics as
// assignments. What is differentiated is its first output.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lower/keras/lower_model.h"
#include "lower/keras/training.h"

namespace midstream::keras {

// What the data hold for each output of the model (in Keras' order): nothing, or tensors of this dtype and shape (the
// first size unknown).
struct StepData {
  std::vector<std::optional<Type>> targets;
  std::vector<std::optional<Type>> weights;
  friend bool operator==(const StepData&, const StepData&) = default;
};

// One use of an embedding table: an input of the graph in the table's place, so that its gradient stays by itself.
struct TableUse {
  std::string variable;
  size_t input;  // position among the graph's inputs
};

struct StepGraph {
  // Inputs: the model's, targets, weights (those that there are, in order), tables. Output 0: the total loss; then the
  // model's outputs.
  std::unique_ptr<Graph> graph;
  std::unique_ptr<LayerHost> host;
  std::vector<std::string> trainable;  // Keras' order
  std::vector<TableUse> tables;
  size_t model_inputs = 0;
  // The number of classes of outputs whose targets are class indices, for the check of labels; and the index that does
  // not count.
  struct Classes {
    size_t output;
    int64_t count;
    std::optional<int64_t> ignored;
  };
  std::vector<Classes> classes;
};

Rules rules_of(const File& file);
// Which outputs need targets: those with a loss or a metric.
std::vector<bool> wanted_targets(const File& file);

// The metrics of compile() that have no lowering: the training is the same without them.
std::vector<std::string> left_out_metrics(const File& file);
// All that compile() names and that has no lowering: "loss Dice", "metric mine>Score", "optimizer Muon", ...
std::vector<std::string> unsupported_in_compile(const File& file);

// Throws Error(Unsupported) naming every loss that has no lowering, Error(Usage) when there is no loss.
StepGraph lower_step(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables,
                     const StepData& data);

// The values of loss and metrics from their state: one output each, named as in Keras' logs, "loss" first.
std::unique_ptr<Graph> lower_results(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables,
                                     const StepData& data, const std::vector<Type>& outputs);

}  // namespace midstream::keras
