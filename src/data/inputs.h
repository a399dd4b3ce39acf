// A model's inputs from an .npz file, and the model run over them a few rows at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "run/program.h"

namespace midstream::data {

// The arrays `x`, or `x:<input>` where there are several, in the order and the dtypes of the graph's inputs. Throws
// Error(BadData) for one that is missing or does not fit, Error(Usage) when `path` is empty and the graph has inputs.
std::vector<at::Tensor> read_inputs(const Graph& graph, const std::string& path);

// Outputs in inference mode, `rows` rows at a time where the graph's batch is open, without recording gradients.
std::vector<at::Tensor> predict(Program& program, const std::vector<at::Tensor>& inputs, int64_t rows);

}  // namespace midstream::data
