// What is in a Keras file, for people: `midstream inspect`. Works for files that cannot be converted too.
#pragma once

#include "lower/keras/lower_model.h"

namespace midstream::keras {

struct InspectedLayer {
  std::string path, class_name;
  int64_t parameters = 0;  // elements of all its weights, its inner layers' included
  std::string output;      // "f32[?, 8]" of its first call; empty where the file cannot be lowered
  bool trainable = true;
  int calls = 0;
};

struct Inspection {
  std::string format, version, model_class, model_name;
  std::vector<std::pair<std::string, std::string>> inputs,
      outputs;                         // name, "f32[?, 28, 28, 1]" (outputs: may be empty)
  std::vector<InspectedLayer> layers;  // nested models' layers follow their model, with its path before theirs
  int64_t parameters = 0, trainable_parameters = 0;
  json optimizer;        // canonical, null: the file was never compiled
  json losses, metrics;  // canonical, one per output
  std::optional<int64_t> iterations;
  bool has_slots = false;                  // the optimizer's state is in the file and fits
  bool followed_streams = false;           // random layers whose stream is known
  std::vector<std::string> fresh_streams;  // random layers that start with a fresh stream, as nothing is in the file
  std::vector<Unsupported> unsupported;
  std::string problem;  // why the file cannot be lowered although everything in it is known; empty: it can
};

Inspection inspect(File& file, const Dialect& dialect);

}  // namespace midstream::keras
