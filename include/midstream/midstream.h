// midstream for C++: models that TensorFlow trained half way go on in PyTorch.
//
//   auto run = midstream::resume("model.keras");                    // the training, where TensorFlow stopped
//   run.fit(midstream::data::Npz("train.npz"), {.epochs = 5});
//   midstream::save(run, "model.keras");
//
//   auto model = midstream::load("model.keras");                    // std::shared_ptr<Module>: a torch::nn::Module
//   torch::optim::Adam optimizer(model->parameters(), 1e-3);
//
// Everything throws midstream::Error (base/error.h). Nothing of a file is ever executed.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "data/npz.h"
#include "lower/own.h"
#include "midstream/module.h"
#include "open.h"
#include "save.h"
#include "train/run.h"

namespace midstream {

// The model in `path` (.keras, .h5, a SavedModel, a frozen graph), in eval mode, its weights loaded.
std::shared_ptr<Module> load(const std::string& path, const OpenOptions& options = {});

inline Run resume(const std::string& path, const RunOptions& options = {}) { return Run::resume(path, options); }

}  // namespace midstream
