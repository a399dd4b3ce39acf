// Run: a model in the middle of its training. Holds the variables (weights, statistics, seeds, optimizer slots, the
// step), the graphs that compute with them, and the loop. What the CLI, the Python package and write-back use.
//
//   auto run = Run::resume("model.keras");
//   run.fit(data::Npz("train.npz"), {.epochs = 5});
//
// All of it works on one VariableStore: a tensor changed by a training step is the tensor that predict, write-back and
// the Python module see. Not thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "frontend/keras/model.h"
#include "graph/graph.h"
#include "run/variable_store.h"

namespace midstream {

struct RunOptions {
  std::string device = "cpu";
  std::string dtype;        // "float32" or "float64": computes in it, whatever the file's is, and changes `file` so
  int64_t random_step = 0;  // where the counters of seeded random layers start
  bool compiled = true;     // false: weights only, no loss, metrics or optimizer (predict)
  keras::ReadOptions read = {};  // of the file
};

// Names and values in Keras' order: "loss", then the losses of several outputs, then the metrics.
using Logs = std::vector<std::pair<std::string, double>>;
struct History {
  std::vector<Logs> epochs;  // "val_" entries included
};

struct FitOptions {
  int64_t epochs = 1;
  int64_t steps = 0;  // > 0: this many batches in all, instead of epochs
  int64_t batch_size = 32;
  bool shuffle = true;
  uint64_t seed = 0;
  const Dataset* validation = nullptr;
  // Checkpoints of the whole state; empty: none. `checkpoint_every` in steps, 0: at the end of every epoch.
  std::string checkpoint_dir;
  int64_t checkpoint_every = 0;
  bool resume = false;   // go on from the newest checkpoint in checkpoint_dir
  bool progress = true;  // a bar, on a terminal only
  // class weights by class index, as Keras' fit takes them; empty: none
  std::vector<std::pair<int64_t, double>> class_weight;
  std::function<void()> on_begin;  // after all checks, before the first batch
  std::function<void(int64_t step, double loss)> on_step;
  std::function<void(int64_t epoch, const Logs&)> on_epoch;
  // Set by whoever catches SIGINT: the loop ends after the present step, with everything in order to be saved.
  const std::atomic<bool>* stop = nullptr;
};

class Trainer;

class Run {
 public:
  // Opens `path` and is where its training stopped. Throws Error for a file that cannot be run or trained.
  static Run resume(const std::string& path, const RunOptions& options = {});
  static Run resume(std::shared_ptr<keras::File> file, const RunOptions& options = {});
  Run(Run&&) noexcept;
  Run& operator=(Run&&) noexcept;
  ~Run();

  const keras::File& file() const;
  // False when the file was never compiled: only predict works then.
  bool can_train() const;
  // Metrics of compile() that have no lowering; the training goes on without them.
  std::vector<std::string> left_out_metrics() const;
  // True when the file held the optimizer's slots; false: the optimizer starts fresh.
  bool restored_optimizer() const;
  const Graph& forward_graph() const;  // inputs -> outputs of the model, both modes

  VariableStore& variables();
  const std::shared_ptr<VariableStore>& shared_variables() const;
  // Name of the table's entry of the optimizer's slot `slot` of variable `weight`; empty if there is none.
  std::string slot_name(const std::string& weight, const std::string& slot) const;
  std::vector<std::string> trainable() const;  // names, in Keras' order
  int64_t iterations() const;
  double learning_rate() const;          // at the present step
  void set_learning_rate(double value);  // throws Error(Usage) when the file has a schedule

  std::vector<std::string> input_names() const, output_names() const;
  Logs train_step(const Batch& batch);  // loss and metrics of all batches since reset_metrics()
  // The same step, split for checks: gradients of the trainable variables (dense, stored layout), no update.
  struct Gradients {
    double loss = 0;
    std::vector<std::pair<std::string, at::Tensor>> gradients;  // sparse COO, uncoalesced, for embedding tables
  };
  Gradients gradients(const Batch& batch);
  void apply_gradients(const std::vector<at::Tensor>& gradients);  // in trainable() order; undefined: none
  // What Keras does when fit ends, as fit here does, and a loop of one's own wants: with use_ema the weights become
  // their averages.
  void finalize();

  History fit(const Dataset& data, const FitOptions& options);
  Logs evaluate(const Dataset& data, int64_t batch_size = 32);
  Logs test_step(const Batch& batch);
  void reset_metrics();
  std::vector<at::Tensor> predict(const std::vector<at::Tensor>& x, int64_t batch_size = 32);
  std::vector<at::Tensor> predict(const Dataset& data, int64_t batch_size = 32);
  const History& history() const;

  // The state as safetensors: every variable in the source layout, and where the loop stands.
  void save_checkpoint(const std::string& path, const DataPosition& position = {}) const;
  DataPosition load_checkpoint(const std::string& path);

 private:
  explicit Run(std::unique_ptr<Trainer> trainer);
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace midstream
