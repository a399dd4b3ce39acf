// What losses share with the metrics of the same names.
#pragma once

#include "lower/keras/training.h"

namespace midstream::keras {

// The loss function's logits, if y_pred was made from them by this very activation ("softmax", "sigmoid"); null
// otherwise. Keras takes them so that the loss does not saturate.
Value logits_behind(Builder& b, Value y_pred, const std::string& activation);

}  // namespace midstream::keras
