// The layers that normalize: by statistics, by the root mean square, or to unit length. Formulas are in
// lower/math/normalization.h; which rule the moving variance follows is in the canonical config.
#include "lower/math/normalization.h"

#include <algorithm>

#include "lower/keras/batch_renorm.h"
#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Computed in float32 at least: half precision overflows in the statistics.
DType wide_dtype(DType dtype) { return dtype == DType::Float16 || dtype == DType::BFloat16 ? DType::Float32 : dtype; }

struct BatchNorm {
  Layer& l;
  Value x, mask;
  Value x_ncs;  // axis `axis` of x at 1
  int64_t axis;
  Value gamma, beta, mean, variance;  // mean, variance: the moving ones
  Value mean_now, variance_now;       // as an earlier call of a shared layer left them
  double epsilon, momentum;
};

Value to_axis1(Builder& b, Value x, int64_t axis) {
  std::vector<int64_t> perm{0, axis};
  for (int64_t i = 1; i < b.rank(x); ++i)
    if (i != axis) perm.push_back(i);
  return b.permute(x, perm);
}

Value from_axis1(Builder& b, Value y, int64_t axis) {
  std::vector<int64_t> perm{0};
  for (int64_t i = 2; i < b.rank(y); ++i) perm.push_back(i);
  perm.insert(perm.begin() + axis, 1);
  return b.permute(y, perm);
}

// The number c in "biased variance * n / (n - c)".
double correction(const Layer& l, int64_t rank) {
  const std::vector<int64_t> fused = l.ints("fused_unbiased_if_rank");
  if (std::find(fused.begin(), fused.end(), rank) != fused.end()) return 1;
  const std::string rule = l.text("variance", "biased");
  if (rule == "biased") return 0;
  if (rule == "sample") return 1 + l.number("epsilon", 1e-3);
  l.b.fail(ErrorKind::Unsupported, "config entry 'variance' is '" + rule + "', 'biased' or 'sample' wanted.");
}

Value inference(const BatchNorm& n) {
  Builder& b = n.l.b;
  Value y = math::batch_norm_inference(b, n.x_ncs, n.gamma, n.beta, n.mean, n.variance, n.epsilon);
  return from_axis1(b, y, n.axis);
}

// y and the new moving statistics.
Values training(const BatchNorm& n) {
  Builder& b = n.l.b;
  const math::BatchNormSpec spec{
      .epsilon = n.epsilon, .momentum = n.momentum, .correction = correction(n.l, b.rank(n.x))};
  math::BatchNorm out = math::batch_norm_training(b, n.x_ncs, n.gamma, n.beta, n.mean_now, n.variance_now, spec);
  b.assign(n.mean, out.mean);
  b.assign(n.variance, out.variance);
  return {from_axis1(b, out.y, n.axis), out.mean, out.variance};
}

Value moved(Builder& b, Value old, Value batch, double momentum) {
  return b.add(b.mul(old, momentum), b.mul(batch, 1 - momentum));
}

// Statistics of the elements that the mask lets through. Keras 3 adds its epsilon to their number, Keras 2 does not.
Values masked_training(const BatchNorm& n) {
  Builder& b = n.l.b;
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < b.rank(n.x); ++i)
    if (i != n.axis) axes.push_back(i);
  Value there = b.expand(b.unsqueeze(b.cast(n.mask, DType::Bool), -1), b.sizes(n.x));
  auto total = [&](Value v) { return b.sum(v, axes, true); };
  Value count = total(b.cast(there, b.dtype(n.x)));
  if (n.l.host().keras3) count = b.add(count, 1e-7);
  Value mean = b.div(total(math::where_number(b, there, n.x, 0)), count);
  Value difference = math::where_number(b, there, b.sub(n.x, mean), 0);
  Value variance = b.div(total(b.square(difference)), count);
  auto vector = [&](Value v) { return b.reshape(v, {b.size(n.mean, 0)}); };
  Value new_mean = moved(b, n.mean_now, vector(mean), n.momentum);
  Value new_variance = moved(b, n.variance_now, vector(variance), n.momentum);
  b.assign(n.mean, new_mean);
  b.assign(n.variance, new_variance);
  auto broadcast = [&](Value v) { return v ? math::along_axis(b, v, n.axis, b.rank(n.x)) : v; };
  Value y = math::normalize(b, n.x, mean, variance, broadcast(n.gamma), broadcast(n.beta), n.epsilon);
  return {y, new_mean, new_variance};
}

// tf.keras takes 1 - momentum through float32.
double momentum_of(Layer& l, Value x) {
  const double momentum = l.number("momentum", 0.99);
  return l.host().keras3 ? momentum : 1 - math::through_float32(l.b, x, 1 - momentum);
}

Tensors batch_normalization(Layer& l, const Call& call) {
  if (l.flag("renorm")) return batch_renormalization(l, call);
  l.expect_config({"axis", "momentum", "epsilon", "center", "scale", "variance", "fused_unbiased_if_rank",
                   "frozen_runs_inference", "synchronized", "fused"});
  Builder& b = l.b;
  Value x = call.one().value;
  const int64_t rank = b.rank(x), axis = math::axis_of(b, x, l.integer("axis", -1));
  const Dims dims{b.dims(x)[static_cast<size_t>(axis)]};
  if (axis == 0 || dims[0] == kUnknown)
    b.fail(ErrorKind::Mismatch, "it normalizes axis " + std::to_string(axis) + " of an input of shape " +
                                    to_string(b.dims(x)) + ": an axis behind the batch with a known size is wanted.");
  Value mask = call.arg(2, "mask").value;
  BatchNorm n{.l = l,
              .x = b.cast(x, wide_dtype(b.dtype(x))),
              .mask = mask ? mask : call.one().mask,
              .axis = axis,
              .epsilon = l.number("epsilon", 1e-3),
              .momentum = momentum_of(l, x)};
  n.x_ncs = to_axis1(b, n.x, axis);
  if (l.flag("scale", true)) n.gamma = l.weight("gamma", dims, true, /*autocast=*/false);
  if (l.flag("center", true)) n.beta = l.weight("beta", dims, true, false);
  n.mean = l.weight("moving_mean", dims, false, false);
  n.variance = l.weight("moving_variance", dims, false, false);
  n.mean_now = l.host().current(n.mean);
  n.variance_now = l.host().current(n.variance);
  // tf.keras' fused kernel takes no mask.
  const std::vector<int64_t> fused = l.ints("fused_unbiased_if_rank");
  const bool masked = n.mask && std::find(fused.begin(), fused.end(), rank) == fused.end();
  if (masked && b.rank(n.mask) != rank - 1)
    b.fail(ErrorKind::Mismatch, "its mask has shape " + to_string(b.dims(n.mask)) +
                                    ", one axis less than the input's " + to_string(b.dims(x)) + " is wanted.");
  Value y;
  if (l.inference_only()) {
    y = inference(n);
  } else {
    Values out = b.cond(
        l.training(), [&] { return masked ? masked_training(n) : training(n); },
        [&] { return Values{inference(n), n.mean_now, n.variance_now}; });
    y = out[0];
    l.host().set_current(n.mean, out[1]);
    l.host().set_current(n.variance, out[2]);
  }
  return l.keep_mask(call, b.cast(y, l.compute_dtype()));
}

Tensors group_normalization(Layer& l, const Call& call) {
  l.expect_config({"groups", "axis", "epsilon", "center", "scale"});
  Builder& b = l.b;
  Value x = call.one().value;
  const int64_t axis = math::axis_of(b, x, l.integer("axis", -1)), channels = b.dims(x)[static_cast<size_t>(axis)];
  int64_t groups = l.integer("groups", 32);
  if (groups == -1) groups = channels;  // each channel by itself
  if (axis == 0 || channels == kUnknown || groups < 1 || channels % groups != 0)
    b.fail(ErrorKind::Mismatch, "axis " + std::to_string(axis) + " of an input of shape " + to_string(b.dims(x)) +
                                    " cannot be cut into " + std::to_string(groups) + " groups.");
  // Keras 3 ignores the mask. Keras 2 broadcasts it against the input, which fits only by chance.
  if (!l.host().keras3 && (call.one().mask || call.arg(1, "mask").value))
    b.fail(ErrorKind::Unsupported, "under a mask it has no lowering for files of Keras 2.");
  const DType wide = wide_dtype(b.dtype(x));
  auto weight = [&](const char* name) { return b.cast(l.weight(name, {channels}, true, /*autocast=*/false), wide); };
  Value gamma, beta;
  if (l.flag("scale", true)) gamma = weight("gamma");
  if (l.flag("center", true)) beta = weight("beta");
  Value y = math::group_norm(b, to_axis1(b, b.cast(x, wide), axis), groups, gamma, beta, l.number("epsilon", 1e-3));
  return l.keep_mask(call, b.cast(from_axis1(b, y, axis), l.compute_dtype()));
}

Tensors layer_normalization(Layer& l, const Call& call) {
  l.expect_config({"axis", "epsilon", "center", "scale", "rms_scaling"});
  Builder& b = l.b;
  Value x = call.one().value;
  const std::vector<int64_t> given = l.has("axis") ? l.ints("axis") : std::vector<int64_t>{-1};
  const std::vector<int64_t> axes = math::axes_of(b, x, given);
  auto sizes = [&](const std::vector<int64_t>& of) {
    Dims out;
    for (int64_t axis : of) out.push_back(b.dims(x)[static_cast<size_t>(math::axis_of(b, x, axis))]);
    if (std::find(out.begin(), out.end(), kUnknown) != out.end())
      b.fail(ErrorKind::Mismatch,
             "it normalizes axes of unknown size of an input of shape " + to_string(b.dims(x)) + ".");
    return out;
  };
  const bool rms = l.flag("rms_scaling");
  // Keras 2 keeps the axes in the order given, Keras 3 sorts them.
  const Dims stored = sizes(l.host().keras3 ? axes : given), wanted = sizes(axes);
  auto weight = [&](const char* name) {
    Value w = b.cast(l.weight(name, stored, true, /*autocast=*/false), wide_dtype(b.dtype(x)));
    return stored == wanted ? w : b.reshape(w, Ints(wanted.begin(), wanted.end()));
  };
  Value gamma, beta;
  if (l.flag("scale", true) || rms) gamma = weight("gamma");
  if (l.flag("center", true) && !rms) beta = weight("beta");
  const double epsilon = l.number("epsilon", 1e-3);
  Value wide = b.cast(x, wide_dtype(b.dtype(x)));
  Value y = rms ? math::variance_scaling(b, wide, axes, gamma, epsilon)
                : math::layer_norm(b, wide, axes, gamma, beta, epsilon);
  return l.keep_mask(call, b.cast(y, l.compute_dtype()));
}

// Keras broadcasts `scale` against the last axes of the input, whichever axes it normalizes.
Tensors rms_normalization(Layer& l, const Call& call) {
  l.expect_config({"axis", "epsilon"});
  Builder& b = l.b;
  Value x = call.one().value;
  const std::vector<int64_t> axes = math::axes_of(b, x, l.has("axis") ? l.ints("axis") : std::vector<int64_t>{-1});
  Dims dims;
  for (int64_t axis : axes) dims.push_back(b.dims(x)[static_cast<size_t>(axis)]);
  if (std::find(dims.begin(), dims.end(), kUnknown) != dims.end())
    b.fail(ErrorKind::Mismatch,
           "it normalizes axes of unknown size of an input of shape " + to_string(b.dims(x)) + ".");
  const DType wide = wide_dtype(b.dtype(x));
  Value y = math::rms_norm(b, b.cast(x, wide), axes, l.number("epsilon", 1e-6));
  return l.keep_mask(call, b.cast(b.mul(y, b.cast(l.weight("scale", dims), wide)), b.dtype(x)));
}

// Keras 3 bounds the inverse norm, Keras 2 the squared norm.
Tensors unit_normalization(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  Builder& b = l.b;
  Value x = b.cast(call.one().value, l.compute_dtype());
  const std::vector<int64_t> axes = math::axes_of(b, x, l.has("axis") ? l.ints("axis") : std::vector<int64_t>{-1});
  return l.keep_mask(
      call, l.host().keras3 ? math::l2_normalize_bounded(b, x, axes, 1e12) : math::l2_normalize(b, x, axes, 1e-12));
}

}  // namespace

void register_normalization(Registry& r) {
  r.layer("BatchNormalization", batch_normalization);
  r.layer("GroupNormalization", group_normalization);
  r.layer("LayerNormalization", layer_normalization);
  r.layer("RMSNormalization", rms_normalization);
  r.layer("UnitNormalization", unit_normalization);
}

}  // namespace midstream::keras
