// Batches of training data and where they come from. data/ implements Dataset over .npz files; Python's loop and tests
// hand single batches to Run::train_step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace midstream {

// Tensors in the order of the model's inputs and outputs. An undefined tensor in `sample_weight` means: no weights for
// that output; an empty list: for none.
struct Batch {
  std::vector<at::Tensor> x, y, sample_weight;
  int64_t size() const { return x.empty() ? 0 : x[0].size(0); }
};

// Where an iteration over a dataset stands; with it a later process goes on with the very next batch.
struct DataPosition {
  int64_t epoch = 0;
  int64_t batch = 0;  // batches already taken in this epoch
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  // What messages call it: the file.
  virtual std::string name() const { return "data"; }
  virtual int64_t samples() const = 0;
  // Names and shapes (without the batch dimension) of what there is, for checks before training.
  struct Column {
    std::string name;  // "" where the file has one unnamed array ("x", "y")
    DType dtype;
    Dims dims;
  };
  virtual std::vector<Column> inputs() const = 0;
  virtual std::vector<Column> targets() const = 0;
  virtual bool has_sample_weight() const = 0;
  // Rows `rows` of every array. May be called from another thread than the one that trains.
  virtual Batch take(const std::vector<int64_t>& rows) const = 0;
  // Rows first..last-1, without a copy where possible.
  virtual Batch slice(int64_t first, int64_t last) const = 0;
  // The whole array of a target (for the label check) or input (for the NaN check).
  virtual at::Tensor column(bool target, size_t index) const = 0;
};

}  // namespace midstream
