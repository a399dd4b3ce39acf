// Rescaling and Normalization: constants and adapted statistics applied to the input.
#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// A number or a (nested) list of numbers as a tensor.
struct Numbers {
  Dims dims;
  std::vector<double> values;
};

void collect(const Layer& l, const std::string& key, const json& entry, size_t depth, Numbers& out) {
  if (entry.is_number()) return out.values.push_back(entry.get<double>());
  if (!entry.is_array())
    l.b.fail(ErrorKind::Mismatch, "config entry '" + key + "' is " + entry.dump() + ", numbers wanted.");
  if (out.dims.size() == depth) out.dims.push_back(static_cast<int64_t>(entry.size()));
  for (const json& item : entry) collect(l, key, item, depth + 1, out);
}

Numbers numbers(const Layer& l, const std::string& key) {
  Numbers out;
  json entry = l.config.at(key);
  // numpy arrays and tensors are wrapped: {"class_name": "__numpy__", "config": {"value": ...}}
  if (entry.is_object() && entry.contains("config")) entry = entry.at("config").value("value", json());
  collect(l, key, entry, 0, out);
  if (num_elements(out.dims) != static_cast<int64_t>(out.values.size()))
    l.b.fail(ErrorKind::Mismatch, "config entry '" + key + "' is ragged: " + entry.dump() + ".");
  return out;
}

// Where Keras takes Python's numbers through float32, which only float64 shows.
Numbers rounded(const Layer& l, Numbers n) {
  if (l.compute_dtype() == DType::Float64)
    for (double& v : n.values) v = static_cast<double>(static_cast<float>(v));
  return n;
}

Value constant(Layer& l, const Numbers& n, DType dtype) {
  return l.b.cast(l.b.constant(Array::of<double>(DType::Float64, n.dims, n.values)), dtype);
}

Tensors rescaling(Layer& l, const Call& call) {
  l.expect_config({"scale", "offset"});
  Builder& b = l.b;
  const DType dtype = l.compute_dtype();
  Value x = b.cast(call.one().value, dtype);
  const Numbers scale = rounded(l, numbers(l, "scale")),
                offset = l.has("offset") ? rounded(l, numbers(l, "offset")) : Numbers{{}, {0}};
  Value y = scale.dims.empty() ? b.mul(x, scale.values[0]) : b.mul(x, constant(l, scale, dtype));
  if (!offset.dims.empty())
    y = b.add(y, constant(l, offset, dtype));
  else if (offset.values[0] != 0)
    y = b.add(y, offset.values[0]);
  return l.host().keras3 ? l.keep_mask(call, y) : Tensors{{y, {}}};
}

struct Statistics {
  Value mean, variance;  // shaped to broadcast against the input
};

Statistics statistics(Layer& l, Value x, const std::vector<int64_t>& axes) {
  Builder& b = l.b;
  Dims kept, shape(static_cast<size_t>(b.rank(x)), 1);
  for (int64_t axis : axes) {
    kept.push_back(b.dims(x)[static_cast<size_t>(axis)]);
    shape[static_cast<size_t>(axis)] = kept.back();
  }
  auto shaped = [&](Value v) { return b.reshape(b.cast(v, l.compute_dtype()), Ints(shape.begin(), shape.end())); };
  if (!l.has("mean")) {
    Value mean = l.weight("mean", kept, false), variance = l.weight("variance", kept, false);
    l.weight_as(DType::Int64, "count", {});
    return {shaped(mean), shaped(variance)};
  }
  auto given = [&](const char* key) {
    const Numbers n = l.host().keras3 ? rounded(l, numbers(l, key)) : numbers(l, key);
    Value v = constant(l, n, l.compute_dtype());
    Ints aligned(static_cast<size_t>(b.rank(x)), Int(1));  // its last axes are the last of the kept ones
    for (size_t i = 1; i <= n.dims.size() && i <= axes.size(); ++i)
      aligned[static_cast<size_t>(axes[axes.size() - i])] = n.dims[n.dims.size() - i];
    return b.reshape(v, aligned);
  };
  return {given("mean"), given("variance")};
}

Tensors normalization(Layer& l, const Call& call) {
  l.expect_config({"axis", "mean", "variance", "invert"});
  Builder& b = l.b;
  Value x = b.cast(call.one().value, l.compute_dtype());
  std::vector<int64_t> axes;
  if (l.has("axis")) axes = math::axes_of(b, x, l.ints("axis"));
  if (!l.config.contains("axis")) axes = {b.rank(x) - 1};
  for (int64_t axis : axes)
    if (b.dims(x)[static_cast<size_t>(axis)] == kUnknown)
      b.fail(ErrorKind::Mismatch,
             "it normalizes an axis of unknown size of an input of shape " + to_string(b.dims(x)) + ".");
  const Statistics s = statistics(l, x, axes);
  Value deviation = math::maximum(b, b.sqrt(s.variance), 1e-7);
  Value y = l.flag("invert") ? b.add(s.mean, b.mul(x, deviation)) : b.div(b.sub(x, s.mean), deviation);
  return l.host().keras3 ? l.keep_mask(call, y) : Tensors{{y, {}}};
}

}  // namespace

void register_preprocessing(Registry& r) {
  r.layer("Normalization", normalization);
  r.layer("Rescaling", rescaling);
}

}  // namespace midstream::keras
