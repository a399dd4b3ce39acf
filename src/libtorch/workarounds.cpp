#include "libtorch/workarounds.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace midstream {
namespace {

constexpr int64_t kUnaffectedChannels = 64;

bool all(const std::vector<int64_t>& v, int64_t value) {
  return std::all_of(v.begin(), v.end(), [&](int64_t x) { return x == value; });
}

}  // namespace

void avoid_strided_pointwise_conv2d(std::vector<c10::IValue>& stack) {
  // conv2d(input, weight, bias, stride, padding, dilation, groups); the overload with padding as a string has no stride
  // under "same" and none to pad under "valid" for this kernel, so it comes here as numbers.
  const at::Tensor& weight = stack[1].toTensor();
  if (weight.dim() != 4 || weight.size(2) != 1 || weight.size(3) != 1) return;
  const at::Tensor& x = stack[0].toTensor();
  if (x.dim() != 4 || x.size(1) >= kUnaffectedChannels || !x.is_cpu() || x.scalar_type() != at::kFloat) return;
  if (!stack[3].isIntList() || !stack[4].isIntList()) return;
  std::vector<int64_t> stride = stack[3].toIntVector();
  if (stride.size() == 1) stride.push_back(stride[0]);
  if (all(stride, 1) || !all(stack[4].toIntVector(), 0)) return;
  stack[0] = x.slice(2, std::nullopt, std::nullopt, stride[0]).slice(3, std::nullopt, std::nullopt, stride[1]);
  stack[3] = std::vector<int64_t>{1, 1};
}

Workaround workaround_for(const std::string& op) {
  return op == "aten::conv2d" ? avoid_strided_pointwise_conv2d : nullptr;
}

}  // namespace midstream
