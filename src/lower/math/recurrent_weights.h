// What the kernels and the loop of recurrent.h share.
#pragma once

#include "lower/math/recurrent.h"

namespace midstream::math {

// A cell's weights as PyTorch's recurrent modules name and lay them out. b_hh is null where Keras has no second bias.
struct TorchWeights {
  Value w_ih, w_hh, b_ih, b_hh;
};
TorchWeights torch_weights(Builder& b, const RecurrentCell& cell);

// The loop over time, for cells and dropouts that no kernel knows. A single input multiplier is applied already.
Recurrence recurrent_loop(Builder& b, const RecurrentCell& cell, const Sequence& sequence, const CellDropout& dropout);

}  // namespace midstream::math
