// Single parts of training by themselves, for comparison with Keras: a loss, a metric, a schedule, an optimizer's rule
// given its gradients. Used by tests and by `midstream verify`.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lower/keras/training.h"
#include "train/optimizer_step.h"

namespace midstream::probe {

using nlohmann::json;

// `activation`: "" or "softmax" / "sigmoid", taken of `y_pred` first, as a model's last layer would. Undefined mask and
// weight: none. Returns the loss and its gradient with respect to y_pred.
std::pair<at::Tensor, at::Tensor> loss(const json& description, bool keras3, DType floatx,
                                       const std::string& activation, const at::Tensor& y_true,
                                       const at::Tensor& y_pred, const at::Tensor& mask, const at::Tensor& weight);

struct MetricBatch {
  at::Tensor y_true, y_pred, mask, weight;
};
at::Tensor metric(const json& description, bool keras3, DType floatx, const std::vector<MetricBatch>& batches);

// Learning rates at the given steps.
std::vector<double> schedule(const json& description, const std::vector<int64_t>& steps);

// Penalty and its gradient; the constrained weight.
std::pair<at::Tensor, at::Tensor> regularizer(const json& description, bool keras3, const at::Tensor& w);
at::Tensor constraint(const json& description, bool keras3, const at::Tensor& w);

// Applies the optimizer to `variables` once for each list of gradients; returns every variable of the optimizer's and
// the model's by name ("v0", "optimizer/v0/momentum", "optimizer/iteration").
std::map<std::string, at::Tensor> optimizer(const json& description, bool keras3, DType floatx,
                                            const std::vector<at::Tensor>& variables,
                                            const std::vector<std::vector<VariableGradient>>& steps);

}  // namespace midstream::probe
