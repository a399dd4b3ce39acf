// Indices as what the layers of categories make of them: the indices, one-hot rows, or counts.
#pragma once

#include <algorithm>

#include "lower/keras/layer.h"

namespace midstream::keras {

// "int", "one_hot", "multi_hot" or "count" of integers in [0, depth); others are in no class. `weights` (may be null)
// are what each one counts, in "count".
Value encode_categories(Layer& l, Value indices, const std::string& mode, int64_t depth, DType dtype,
                        Value weights = {});
// The config's output_mode; "binary" is an older word for "multi_hot". Fails for sparse outputs.
std::string output_mode_of(const Layer& l, const std::string& otherwise);

// The config's vocabulary, a list. Fails where the file does not hold it.
const json& vocabulary_of(const Layer& l);
// Takes `special` (mask and out-of-vocabulary tokens), which a vocabulary may begin with, off its front. Fails where
// nothing is left.
template <class T>
void drop_special_tokens(const Layer& l, std::vector<T>& tokens, const std::vector<T>& special) {
  if (tokens.size() >= special.size() && std::equal(special.begin(), special.end(), tokens.begin()))
    tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(special.size()));
  if (tokens.empty()) l.b.fail(ErrorKind::Mismatch, "its vocabulary is empty.");
}

}  // namespace midstream::keras
