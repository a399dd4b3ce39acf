// What is checked before training touches a weight: names, shapes, numbers of rows, NaN, labels out of range.
#pragma once

#include <vector>

#include "data/batch.h"
#include "train/trainer.h"

namespace midstream {

// Which of the dataset's arrays is which input and target of the model.
struct Arrangement {
  std::vector<size_t> x, y;
  Batch apply(const Batch& batch) const;
};

// Throws Error(BadData) naming the array. `targets` false: only the inputs matter (predict).
Arrangement arrange(const Dataset& data, const Trainer& trainer, bool targets);
void check_inputs(const Dataset& data, const Arrangement& arrangement, const Trainer& trainer);
void check_targets(const Dataset& data, const Arrangement& arrangement, Trainer& trainer);
// All of them, for training; the errors name the dataset.
Arrangement checked(const Dataset& data, Trainer& trainer);

}  // namespace midstream
