// BatchNormalization in training mode. torch's own updates the running variance with the unbiased variance and a
// momentum that means the opposite; the versions of Keras have three rules for the variance: biased * n / (n -
// correction), n being the elements per channel and correction 0, 1 or 1 + epsilon. The new statistics are results (a
// graph assigns them) instead of being written behind the graph's back.
#include <ATen/ATen.h>

#include "libtorch/ops.h"

namespace midstream {
namespace {

using at::Tensor;

// [N, C, L] over channels-last memory looks like no memory format that the kernels know, [N, C, 1, L] does.
Tensor normalized(const Tensor& x, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                  const Tensor& mean, const Tensor& variance, double eps) {
  const bool sequence = x.dim() == 3 && x.stride(1) == 1 && x.size(1) != 1;
  const Tensor y = at::batch_norm(sequence ? x.unsqueeze(2) : x, weight, bias, mean, variance, /*training=*/true,
                                  /*momentum=*/1.0, eps, /*cudnn_enabled=*/true);
  return sequence ? y.squeeze(2) : y;
}

// momentum as Keras means it: new = old * momentum + batch * (1 - momentum). Without running statistics the batch's own
// are returned.
std::tuple<Tensor, Tensor, Tensor> batch_norm(const Tensor& x, const std::optional<Tensor>& weight,
                                              const std::optional<Tensor>& bias,
                                              const std::optional<Tensor>& running_mean,
                                              const std::optional<Tensor>& running_var, double momentum, double eps,
                                              double correction) {
  const Tensor like = weight ? *weight : bias ? *bias : running_mean ? *running_mean : x;
  // With momentum 1, aten leaves the batch's mean and unbiased variance in these.
  Tensor mean = at::zeros({x.size(1)}, like.options().requires_grad(false)), variance = at::zeros_like(mean);
  Tensor y = normalized(x, weight, bias, mean, variance, eps);
  const double n = static_cast<double>(x.numel()) / static_cast<double>(std::max<int64_t>(x.size(1), 1));
  at::NoGradGuard no_grad;
  if (n <= 1)
    variance = at::zeros_like(variance);  // 0 / 0 in aten; 0 by all the rules
  else if (correction != 1)
    variance = variance * ((n - 1) / (n - correction));  // not in place: autograd holds the tensor that aten filled
  if (running_mean) mean = *running_mean * momentum + mean * (1 - momentum);
  if (running_var) variance = *running_var * momentum + variance * (1 - momentum);
  return {y, mean, variance};
}

}  // namespace

void register_normalization_ops(torch::Library& m, ShapeRules& rules) {
  m.def(
      "batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, float "
      "momentum, "
      "float eps, float correction) -> (Tensor, Tensor, Tensor)",
      batch_norm);
  rules.add("midstream::batch_norm", [](const std::vector<SampleArg>& a) {
    const SampleTensor& x = tensor(a[0]);
    DType stats = x.dtype;
    for (size_t i = 4; i >= 1; --i) {
      if (is_none(a[i])) continue;
      const SampleTensor& w = tensor(a[i]);
      if (x.dims.size() < 2 || w.dims.size() != 1 || w.dims[0] != x.dims[1])
        bad_shape("batch_norm of an input " + to_string(x.dims) + " with a parameter " + to_string(w.dims) + ".");
      stats = w.dtype;
    }
    return std::vector<SampleOutput>{output(x.dtype, x.dims), output(stats, {x.dims.at(1)}),
                                     output(stats, {x.dims.at(1)})};
  });
}

}  // namespace midstream
