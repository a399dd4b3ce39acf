// Indices as what the layers of categories make of them: the indices, one-hot rows, or counts.
#pragma once

#include "lower/keras/layer.h"

namespace midstream::keras {

// "int", "one_hot", "multi_hot" or "count" of integers in [0, depth); others are in no class. `weights` (may be null)
// are what each one counts, in "count".
Value encode_categories(Layer& l, Value indices, const std::string& mode, int64_t depth, DType dtype,
                        Value weights = {});
// The config's output_mode; "binary" is an older word for "multi_hot". Fails for sparse outputs.
std::string output_mode_of(const Layer& l, const std::string& otherwise);

}  // namespace midstream::keras
