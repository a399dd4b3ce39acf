// What Keras does around every loss and metric: ranks that differ by one, sample weights, masks, reductions.
#pragma once

#include "lower/keras/training.h"

namespace midstream::keras {

struct Pair {
  Value first, second;
};
// Where the ranks differ by one and the last size of the longer is 1: that axis is dropped, or the other gains one
// (Keras 3: when the shorter is a vector and `expand_vectors`).
Pair match_ranks(Builder& b, Value first, Value second, bool expand_vectors = true);
// Targets and predictions before a loss function, as the file's Keras matches them.
Pair match_targets(Builder& b, const Rules& rules, Value y_true, Value y_pred);
// A weight brought to the rank of the values (Keras 2's squeeze_or_expand_dimensions).
Value match_weight(Builder& b, Value values, Value weight);

// "sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight"; "auto" is Keras 2's sum_over_batch_size.
// `mask` and `sample_weight` may be null. A scalar, or the weighted values for "none".
Value reduce_losses(Builder& b, const Rules& rules, const std::string& reduction, Value values, Value mask,
                    Value sample_weight);

// Weights of the values from the predictions' mask: each valid one counts total/valid, so that a mean over all is the
// mean over the valid ones; with `normalize` false they are 1 and 0. Merged with `sample_weight` (may be null).
Value weight_of_mask(Builder& b, const Rules& rules, Value mask, Value sample_weight, DType dtype, bool normalize);

// Number of elements, a 0-d tensor.
Value count_elements(Builder& b, Value v, DType dtype);

}  // namespace midstream::keras
