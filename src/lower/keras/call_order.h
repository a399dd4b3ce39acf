// In which order Keras runs the calls of a functional model. Only shared layers can tell: what a call leaves behind
// (BatchNormalization's statistics, a random generator's counter) is where the next one starts.
#pragma once

#include <utility>
#include <vector>

#include "frontend/keras/model.h"

namespace midstream::keras {

struct CallIndex {
  size_t layer;  // in model.layers
  int node;      // in its calls
  friend auto operator<=>(const CallIndex&, const CallIndex&) = default;
};

// The calls that the outputs need, deepest first. Throws Error(BadFile) when they form a circle.
std::vector<CallIndex> call_order(const Model& model);

}  // namespace midstream::keras
