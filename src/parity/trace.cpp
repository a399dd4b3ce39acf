#include "parity/trace.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "libtorch/convert.h"

namespace midstream::parity {
namespace {

// A rounding error grows with the length of the sums behind a number; this many units in the last place of the largest
// element are room for sums of a million terms (error of a sum grows like the root of its length).
constexpr double kUlps = 1024;

double difference(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.numel() == 0) return 0;
  at::Tensor a = ours.to_dense().to(at::kDouble), b = theirs.to(at::kDouble);
  double scale = std::max({a.abs().max().item<double>(), b.abs().max().item<double>(), 1e-30});
  return (a - b).abs().max().item<double>() / scale;
}

at::Tensor get(const NpzFile& trace, const std::string& name) { return to_tensor(trace.read(name)).clone(); }

}  // namespace

void compare(Program& program, const std::vector<std::string>& trainable, const NpzFile& trace, bool training,
             std::vector<Row>& rows) {
  const int mode = training ? 1 : 0;
  std::vector<at::Tensor> inputs;
  for (size_t i = 0; i < program.forward().inputs.size(); ++i)
    inputs.push_back(get(trace, fmt::format("x{}", i))
                         .to(to_scalar_type(program.forward().type(program.forward().inputs[i].value).dtype)));
  auto outputs = program.run(inputs, training);
  const char* name = training ? "training" : "inference";
  std::vector<at::Tensor> cotangents;
  double eps = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    eps = outputs[i].scalar_type() == at::kDouble ? 2.2e-16 : 1.2e-7;
    rows.push_back({program.forward().outputs[i].name, name,
                    difference(outputs[i], get(trace, fmt::format("m{}:y{}", mode, i))), kUlps * eps});
    cotangents.push_back(get(trace, fmt::format("m{}:c{}", mode, i)));
  }
  std::vector<at::Tensor> parameters;
  for (const std::string& v : trainable) parameters.push_back(program.variables()->tensor(v));
  if (parameters.empty()) return;
  auto gradients = torch::autograd::grad(outputs, parameters, cotangents, false, false, true);
  double largest = 0;
  for (size_t i = 0; i < trainable.size(); ++i)
    largest = std::max(largest, get(trace, fmt::format("m{}:g{}", mode, i)).abs().max().item<double>());
  const Variables& table = *program.variables()->variables();
  for (size_t i = 0; i < trainable.size(); ++i) {
    at::Tensor theirs = get(trace, fmt::format("m{}:g{}", mode, i));
    at::Tensor ours = gradients[i].defined()
                          ? to_source(table.at(table.index_of(trainable[i])), gradients[i].to_dense())
                          : at::zeros_like(theirs);
    // A gradient that is zero but for rounding (a bias before a normalization) is measured by the model's largest one.
    double scale = std::max(theirs.abs().max().item<double>(), 1e-3 * largest);
    double error = scale == 0 ? 0 : (ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max().item<double>() / scale;
    rows.push_back({"gradient of " + trainable[i], name, error, kUlps * eps});
  }
}

}  // namespace midstream::parity
