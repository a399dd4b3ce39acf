// SAME pads max((ceil(n / s) - 1) s + (k - 1) d + 1 - n, 0), the odd one at the end. aten's padding argument is the
// same on both sides: equal constant halves go into the call (it prints as padding=1), everything else into an explicit
// pad.
#include "lower/math/conv.h"

#include <numeric>

namespace midstream::math {
namespace {

std::string op_name(const std::string& stem, int64_t spatial) { return stem + std::to_string(spatial) + "d"; }

struct Padded {
  Value x;
  Dims padding;  // for the call
};

std::vector<PadPair> padding_of(Builder& b, Value x_ncs, const Dims& kernel, const ConvSpec& spec) {
  std::vector<PadPair> pads(kernel.size());
  for (size_t i = 0; i < kernel.size(); ++i) {
    if (spec.padding == Padding::Same)
      pads[i] = same_padding(b.size(x_ncs, static_cast<int64_t>(i) + 2), kernel[i], spec.strides[i], spec.dilations[i]);
    if (spec.padding == Padding::Causal) pads[i] = {(kernel[i] - 1) * spec.dilations[i], 0};
    if (spec.padding == Padding::Explicit) pads[i] = {spec.explicit_padding[i].first, spec.explicit_padding[i].second};
  }
  return pads;
}

Padded pad_like_tf(Builder& b, Value x_ncs, const Dims& kernel, const ConvSpec& spec) {
  std::vector<PadPair> pads = padding_of(b, x_ncs, kernel, spec);
  Dims equal;
  for (const PadPair& p : pads)
    if (p.before.is_constant() && p.after.is_constant() && p.before.constant() == p.after.constant())
      equal.push_back(p.before.constant());
  if (equal.size() == pads.size()) return {x_ncs, equal};
  Ints last_first;
  for (auto p = pads.rbegin(); p != pads.rend(); ++p) {
    last_first.push_back(p->before);
    last_first.push_back(p->after);
  }
  return {b.pad(x_ncs, last_first), Dims(pads.size(), 0)};
}

Value convolve(Builder& b, Value x_ncs, Value w_oihw, Value bias, const Dims& kernel, const ConvSpec& spec,
               int64_t groups) {
  auto [x, padding] = pad_like_tf(b, x_ncs, kernel, spec);
  Args args{{"input", x}, {"weight", w_oihw}};
  if (bias) args.push_back({"bias", bias});
  args.insert(args.end(),
              {{"stride", spec.strides}, {"padding", padding}, {"dilation", spec.dilations}, {"groups", groups}});
  return b.call(op_name("aten::conv", static_cast<int64_t>(kernel.size())), std::move(args));
}

Dims kernel_of(Builder& b, Value w, Value x_ncs) {
  Dims dims = b.dims(w);
  if (b.rank(w) != b.rank(x_ncs))
    b.fail(ErrorKind::Mismatch, "a kernel of shape " + to_string(dims) + " on an input of shape " +
                                    to_string(b.dims(x_ncs)) + " (channels first).");
  dims.resize(dims.size() - 2);
  return dims;
}

int64_t channels_of(Builder& b, Value x_ncs) {
  int64_t c = b.dims(x_ncs).at(1);
  if (c == kUnknown) b.fail(ErrorKind::Unsupported, "a convolution's input has an unknown number of channels.");
  return c;
}

}  // namespace

PadPair same_padding(const Int& n, int64_t kernel, int64_t stride, int64_t dilation) {
  int64_t reach = (kernel - 1) * dilation + 1;
  // With stride 1 the sum does not depend on n (and n stays dynamic without arithmetic in the graph).
  Int total = stride == 1 ? Int(reach - 1) : max((ceil_div(n, stride) - 1) * stride + reach - n, 0);
  Int before = floor_div(total, 2);
  return {before, total - before};
}

Value conv(Builder& b, Value x_ncs, Value w_sio, Value bias, const ConvSpec& spec) {
  Dims kernel = kernel_of(b, w_sio, x_ncs);
  int64_t n = static_cast<int64_t>(kernel.size()), c_in = channels_of(b, x_ncs);
  int64_t per_group = b.dims(w_sio)[static_cast<size_t>(n)];
  if (per_group <= 0 || c_in % per_group != 0)
    b.fail(ErrorKind::Mismatch, "the kernel has shape " + to_string(b.dims(w_sio)) + ", so it takes " +
                                    std::to_string(per_group) + " channels a group, but the input has " +
                                    std::to_string(c_in) + ".");
  Permute to_oihw{{n + 1, n}};
  for (int64_t i = 0; i < n; ++i) to_oihw.perm.push_back(i);
  return convolve(b, x_ncs, b.stored_as(w_sio, {to_oihw}), bias, kernel, spec, c_in / per_group);
}

// torch wants [c * m, 1, spatial...]: output channel c * m + q in both, so no shuffle is needed.
Value depthwise_conv(Builder& b, Value x_ncs, Value w_scm, Value bias, const ConvSpec& spec) {
  Dims kernel = kernel_of(b, w_scm, x_ncs);
  int64_t n = static_cast<int64_t>(kernel.size());
  int64_t c = b.dims(w_scm)[static_cast<size_t>(n)], m = b.dims(w_scm)[static_cast<size_t>(n) + 1];
  if (c != channels_of(b, x_ncs))
    b.fail(ErrorKind::Mismatch, "the depthwise kernel has shape " + to_string(b.dims(w_scm)) + ", so it takes " +
                                    std::to_string(c) + " channels, but the input has " +
                                    std::to_string(channels_of(b, x_ncs)) + ".");
  Permute channels_first{{n, n + 1}};
  Dims permuted{c, m}, flat{c * m, 1};
  for (int64_t i = 0; i < n; ++i) {
    channels_first.perm.push_back(i);
    permuted.push_back(kernel[static_cast<size_t>(i)]);
    flat.push_back(kernel[static_cast<size_t>(i)]);
  }
  Value w = b.stored_as(w_scm, {channels_first, Reshape{permuted, flat}});
  return convolve(b, x_ncs, w, bias, kernel, spec, c);
}

Value separable_conv(Builder& b, Value x_ncs, Value w_depthwise, Value w_pointwise, Value bias, const ConvSpec& spec) {
  Value y_ncs = depthwise_conv(b, x_ncs, w_depthwise, {}, spec);
  std::vector<int64_t> ones(spec.strides.size(), 1);
  return conv(b, y_ncs, w_pointwise, bias, {.strides = ones, .dilations = ones});
}

}  // namespace midstream::math
