// The loop.
#pragma once

#include "train/trainer.h"

namespace midstream {

History fit(Trainer& trainer, const Dataset& data, const FitOptions& options);
Logs evaluate(Trainer& trainer, const Dataset& data, int64_t batch_size);
std::vector<at::Tensor> predict(Trainer& trainer, const Dataset& data, int64_t batch_size);

// Weights of the samples from the classes of their targets: what Keras makes of fit's class_weight.
at::Tensor class_weights(const at::Tensor& y, const std::vector<std::pair<int64_t, double>>& weights);

}  // namespace midstream
