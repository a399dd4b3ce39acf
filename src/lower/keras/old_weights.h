// The arrays of one flat list of a Keras file, as today's layers have them: what Keras 2 does in
// preprocess_weights_for_loading() for files of Keras 1 and of the Theano backend. The config entries kernel_flipped,
// kernel_layout and gates_apart (frontend/keras/canonical.h) say what there is to do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "frontend/keras/model.h"
#include "graph/file_layout.h"

namespace midstream::keras {

struct BoundArray {
  FileArray array;                   // in the layout of the layer's weight
  std::optional<FileLayout> layout;  // absent: the file has it so
};

// A weight that an array is wanted for.
struct WantedWeight {
  const std::string& class_name;  // of its layer
  const json& config;             // of its layer
  const std::string& name;        // "kernel"
};

// One array for each weight where the file's count fits; else all of the rest as they are, for the caller to refuse.
std::vector<BoundArray> as_today(const std::vector<WantedWeight>& weights, const std::vector<FileArray>& arrays);

}  // namespace midstream::keras
