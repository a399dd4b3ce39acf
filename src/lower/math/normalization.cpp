#include "lower/math/normalization.h"

#include <algorithm>
#include <numeric>

#include "lower/math/elementwise.h"
#include "lower/math/layout.h"

namespace midstream::math {
namespace {

void optional_arg(Args& args, const char* name, Value v) {
  if (v) args.push_back({name, v});
}

// The axes that are not in `axes`, then `axes`.
std::vector<int64_t> axes_last(int64_t rank, const std::vector<int64_t>& axes) {
  std::vector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end()) perm.push_back(i);
  perm.insert(perm.end(), axes.begin(), axes.end());
  return perm;
}

std::vector<int64_t> inverse_of(const std::vector<int64_t>& perm) {
  std::vector<int64_t> out(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) out[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  return out;
}

}  // namespace

Moments moments(Builder& b, Value x, const std::vector<int64_t>& axes, bool keepdims) {
  Value mean = b.mean(x, axes, true);
  Value variance = b.mean(b.square(b.sub(x, mean)), axes, keepdims);
  if (!keepdims) {
    for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) mean = b.squeeze(mean, *axis);
  }
  return {mean, variance};
}

Value normalize(Builder& b, Value x, Value mean, Value variance, Value scale, Value offset, double epsilon) {
  Value inverse = rsqrt(b, b.add(variance, epsilon));
  if (scale) inverse = b.mul(inverse, scale);
  Value shift = b.mul(mean, inverse);
  return b.add(b.mul(x, inverse), offset ? b.sub(offset, shift) : b.neg(shift));
}

BatchNorm batch_norm_training(Builder& b, Value x_ncs, Value gamma, Value beta, Value moving_mean,
                              Value moving_variance, const BatchNormSpec& spec) {
  Args args{{"input", x_ncs}};
  optional_arg(args, "weight", gamma);
  optional_arg(args, "bias", beta);
  optional_arg(args, "running_mean", moving_mean);
  optional_arg(args, "running_var", moving_variance);
  args.insert(args.end(), {{"momentum", spec.momentum}, {"eps", spec.epsilon}, {"correction", spec.correction}});
  Values out = b.call_all("midstream::batch_norm", std::move(args));
  return {out.at(0), out.at(1), out.at(2)};
}

Value batch_norm_inference(Builder& b, Value x_ncs, Value gamma, Value beta, Value mean, Value variance,
                           double epsilon) {
  Args args{{"input", x_ncs}};
  optional_arg(args, "weight", gamma);
  optional_arg(args, "bias", beta);
  args.insert(args.end(), {{"running_mean", mean},
                           {"running_var", variance},
                           {"training", false},
                           {"momentum", 0.0},
                           {"eps", epsilon},
                           {"cudnn_enabled", true}});
  return b.call("aten::batch_norm", std::move(args));
}

Value layer_norm(Builder& b, Value x, const std::vector<int64_t>& axes, Value gamma, Value beta, double epsilon) {
  std::vector<int64_t> perm = axes_last(b.rank(x), axes);
  Value y = b.permute(x, perm);
  Ints sizes;
  for (int64_t axis : axes) sizes.push_back(b.size(x, axis));
  Args args{{"input", y}, {"normalized_shape", sizes}};
  optional_arg(args, "weight", gamma);
  optional_arg(args, "bias", beta);
  args.push_back({"eps", epsilon});
  return b.permute(b.call("aten::layer_norm", std::move(args)), inverse_of(perm));
}

Value group_norm(Builder& b, Value x_ncs, int64_t groups, Value gamma, Value beta, double epsilon) {
  Args args{{"input", x_ncs}, {"num_groups", groups}};
  optional_arg(args, "weight", gamma);
  if (gamma) optional_arg(args, "bias", beta);  // aten's backward fails for an offset without a factor (torch 2.13)
  args.push_back({"eps", epsilon});
  Value y = b.call("aten::group_norm", std::move(args));
  return beta && !gamma ? bias_add(b, y, beta, Layout::ChannelsFirst) : y;
}

Value variance_scaling(Builder& b, Value x, const std::vector<int64_t>& axes, Value gamma, double epsilon) {
  Value variance = b.call("aten::var.correction", {{"self", x}, {"dim", axes}, {"correction", 0}, {"keepdim", true}});
  Value y = b.mul(x, rsqrt(b, b.add(variance, epsilon)));
  if (!gamma) return y;
  Ints shape(static_cast<size_t>(b.rank(x)), Int(1));
  for (int64_t axis : axes) shape[static_cast<size_t>(axis)] = b.size(x, axis);
  return b.mul(y, b.reshape(gamma, shape));
}

Value rms_norm(Builder& b, Value x, const std::vector<int64_t>& axes, double epsilon) {
  return b.mul(x, rsqrt(b, b.add(b.mean(b.square(x), axes, true), epsilon)));
}

}  // namespace midstream::math
