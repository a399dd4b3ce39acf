// BatchNormalization with renorm=True (Ioffe 2017): in training the batch's statistics are corrected towards moving
// ones. Those are renorm_mean and renorm_stddev; the statistics of inference move with another momentum,
// moving_variance by way of moving_stddev.
#include "lower/keras/batch_renorm.h"

#include <cmath>
#include <optional>

#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/math/normalization.h"

namespace midstream::keras {
namespace {

// A bound of renorm_clipping, if it has this one.
std::optional<double> bound(const Layer& l, const char* name) {
  if (!l.has("renorm_clipping")) return std::nullopt;
  const json& clipping = l.config.at("renorm_clipping");
  auto it = clipping.find(name);
  if (it == clipping.end() || it->is_null()) return std::nullopt;
  if (!it->is_number())
    l.b.fail(ErrorKind::Mismatch, std::string("its renorm_clipping has no number for '") + name + "'.");
  return it->get<double>();
}

// Moving statistics, each with the value that the last call left.
struct Statistic {
  Value variable, now;
};

}  // namespace

Tensors batch_renormalization(Layer& l, const Call& call) {
  l.expect_config({"axis", "momentum", "epsilon", "center", "scale", "variance", "frozen_runs_inference", "renorm",
                   "renorm_clipping", "renorm_momentum", "fused"});
  Builder& b = l.b;
  const bool keras3 = l.host().keras3;
  Value given = call.one().value;
  const int64_t rank = b.rank(given), axis = math::axis_of(b, given, l.integer("axis", -1));
  const Dims dims{b.dims(given)[static_cast<size_t>(axis)]};
  if (axis == 0 || dims[0] == kUnknown)
    b.fail(ErrorKind::Mismatch, "it normalizes axis " + std::to_string(axis) + " of an input of shape " +
                                    to_string(b.dims(given)) +
                                    ": an axis behind the batch with a known size is wanted.");
  if (call.arg(2, "mask").value || call.one().mask)
    b.fail(ErrorKind::Unsupported, "renorm=True has no lowering for an input with a mask.",
           "Take the mask away before this layer.");
  const bool half = b.dtype(given) == DType::Float16 || b.dtype(given) == DType::BFloat16;
  const DType wide = half ? DType::Float32 : b.dtype(given), own = l.variable_dtype();
  Value x = b.cast(given, wide);
  const double epsilon = l.number("epsilon", 1e-3);

  Value gamma, beta;
  if (l.flag("scale", true)) gamma = b.cast(l.weight("gamma", dims, true, /*autocast=*/false), wide);
  if (l.flag("center", true)) beta = b.cast(l.weight("beta", dims, true, false), wide);
  auto statistic = [&](const char* name) {
    Value variable = l.weight(name, dims, false, false);
    return Statistic{variable, l.host().current(variable)};
  };
  const Statistic mean = statistic("moving_mean"), variance = statistic("moving_variance");
  const Statistic stddev = statistic("moving_stddev");
  const Statistic renorm_mean = statistic("renorm_mean"), renorm_stddev = statistic("renorm_stddev");
  const std::vector<Statistic> all{mean, variance, stddev, renorm_mean, renorm_stddev};

  auto normalized = [&](Value m, Value v, Value scale, Value offset) {
    auto broadcast = [&](Value s) { return s ? math::along_axis(b, s, axis, rank) : s; };
    return math::normalize(b, x, broadcast(m), broadcast(v), broadcast(scale), broadcast(offset), epsilon);
  };
  auto read = [&](const Statistic& s) { return b.cast(s.now, wide); };
  auto in_inference = [&] {
    Values out{normalized(read(mean), read(variance), gamma, beta)};
    for (const Statistic& s : all) out.push_back(s.now);
    return out;
  };
  auto in_training = [&] {
    std::vector<int64_t> others;
    for (int64_t i = 0; i < rank; ++i)
      if (i != axis) others.push_back(i);
    const math::Moments batch = math::moments(b, x, others, false);
    Value m = b.unary("aten::detach", batch.mean), v = b.unary("aten::detach", batch.variance);
    Value s = b.sqrt(b.add(v, epsilon));
    // So little spread is taken to be none yet.
    Value spread = math::maximum(b, read(renorm_stddev), std::sqrt(epsilon));
    Value r = b.div(s, spread), d = b.div(b.sub(m, read(renorm_mean)), spread);
    if (auto low = bound(l, "rmin")) r = math::maximum(b, r, *low);
    if (auto high = bound(l, "rmax")) r = math::minimum(b, r, *high);
    if (auto most = bound(l, "dmax")) d = b.clamp(d, -*most, *most);
    Value scale = gamma ? b.mul(r, gamma) : r, offset = gamma ? b.mul(d, gamma) : d;
    if (beta) offset = b.add(offset, beta);
    Values out{normalized(batch.mean, batch.variance, scale, offset)};

    auto factor = [&](const char* entry) {  // tf.keras takes 1 - momentum through float32
      const double momentum = l.number(entry, 0.99);
      return keras3 ? momentum : 1 - math::through_float32(b, x, 1 - momentum);
    };
    auto moved = [&](const Statistic& of, Value now, double momentum) {
      return b.cast(b.add(b.mul(read(of), momentum), b.mul(now, 1 - momentum)), own);
    };
    Value new_stddev = moved(stddev, s, factor("momentum"));
    Value new_variance = math::maximum(b, b.sub(b.square(new_stddev), epsilon), 0.0);
    for (Value next :
         {moved(mean, m, factor("momentum")), new_variance, new_stddev,
          moved(renorm_mean, m, factor("renorm_momentum")), moved(renorm_stddev, s, factor("renorm_momentum"))})
      out.push_back(next);
    for (size_t i = 0; i < all.size(); ++i) b.assign(all[i].variable, out[i + 1]);
    return out;
  };
  Value y;
  if (l.inference_only()) {
    y = normalized(read(mean), read(variance), gamma, beta);
  } else {
    const Values out = b.cond(l.training(), in_training, in_inference);
    y = out[0];
    for (size_t i = 0; i < all.size(); ++i) l.host().set_current(all[i].variable, out[i + 1]);
  }
  return l.keep_mask(call, b.cast(y, l.compute_dtype()));
}

}  // namespace midstream::keras
