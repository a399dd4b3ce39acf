// Opens any file that midstream reads.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "frontend/keras/model.h"
#include "run/program.h"

namespace midstream {

// What to run of a TensorFlow file that holds several graphs; nothing: its default signature. How to read a Keras file.
struct OpenOptions {
  std::string signature;  // or the names of tensors: "pred", "logits:0,loss:0"
  std::string function;   // a concrete function of a SavedModel's object graph
  // Shapes of the arrays at hand, by input ("" where there is only one): for what the file leaves open.
  std::map<std::string, Dims> fed;
  keras::ReadOptions keras = {};
};

// The model in `path` for running and differentiating; train/run.h opens it for training. Throws Error.
std::unique_ptr<Program> open_program(const std::string& path, const OpenOptions& options = {});

// Whether the path names a Keras file (.keras, .h5, .hdf5); everything else is taken as TensorFlow's.
bool is_keras_file(const std::string& path);
// Throws Error(Unsupported) for what has the ending of another kind of file.
void refuse_other_kinds(const std::string& path);

}  // namespace midstream
