// Merge layers. Keras 3 joins masks with "or" and lets them decide what Maximum, Minimum and Multiply take; Keras 2
// joins them with "and" and nothing else.
#include "lower/keras/host.h"
#include "lower/math/elementwise.h"
#include "lower/math/layout.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Fold = Value (*)(Builder&, Value, Value);

// Inputs of fewer axes get axes of size 1 behind the batch; Keras loses their masks there.
Tensors aligned(Layer& l, const Call& call) {
  if (call.inputs.size() < 1) l.b.fail(ErrorKind::Mismatch, "a merge layer is called without inputs.");
  int64_t rank = 0;
  for (const Tensor& t : call.inputs) rank = std::max(rank, l.b.rank(t.value));
  Tensors out = call.inputs;
  for (Tensor& t : out) {
    if (l.b.rank(t.value) < rank) t.mask = {};
    while (l.b.rank(t.value) < rank) t.value = l.b.unsqueeze(t.value, 1);
  }
  return out;
}

Value merged_mask(Layer& l, const Call& call) {
  Value all;
  for (const Tensor& t : call.inputs) {
    if (!t.mask) {
      if (l.host().keras3) return {};
      continue;
    }
    if (!all)
      all = t.mask;
    else
      all = l.host().keras3 ? l.b.logical_or(all, t.mask) : l.b.logical_and(all, t.mask);
  }
  return all;
}

Value fold(Builder& b, const Tensors& inputs, Fold f) {
  Value out = inputs.at(0).value;
  for (size_t i = 1; i < inputs.size(); ++i) out = f(b, out, inputs[i].value);
  return out;
}

Value add(Builder& b, Value x, Value y) { return b.add(x, y); }
Value multiply(Builder& b, Value x, Value y) { return b.mul(x, y); }
Value subtract(Builder& b, Value x, Value y) { return b.sub(x, y); }
Value maximum(Builder& b, Value x, Value y) { return math::maximum(b, x, y); }
Value minimum(Builder& b, Value x, Value y) { return math::minimum(b, x, y); }

Value over_features(Builder& b, const Tensor& t) {
  return t.mask ? b.expand(b.unsqueeze(t.mask, -1), b.sizes(t.value)) : Value{};
}

// Where an input is masked, the result so far stands; where that is masked, the input does.
Value fold_masked(Builder& b, const Tensors& inputs, Fold f) {
  Value out = inputs.at(0).value, out_mask = over_features(b, inputs[0]);
  for (size_t i = 1; i < inputs.size(); ++i) {
    Value x = inputs[i].value, mask = over_features(b, inputs[i]);
    if (mask) x = b.where(mask, x, out);
    if (out_mask) out = b.where(out_mask, out, x);
    out_mask = mask && out_mask ? b.logical_or(out_mask, mask) : Value{};
    out = f(b, out, x);
  }
  return out;
}

// A masked factor counts as 1; the product is 0 where all factors are masked.
Value product_masked(Builder& b, const Tensors& inputs) {
  Value out, out_mask;
  bool all_masked = true;
  for (const Tensor& t : inputs) {
    Value x = t.value, mask = over_features(b, t);
    if (mask) {
      x = math::where_number(b, mask, x, 1);
      out_mask = out_mask ? b.logical_or(out_mask, mask) : mask;
    }
    all_masked = all_masked && mask;
    out = out ? b.mul(out, x) : x;
  }
  return all_masked ? math::where_number(b, out_mask, out, 0) : out;
}

LayerFn folded(Fold f, bool masks_decide) {
  return [=](Layer& l, const Call& call) -> Tensors {
    l.expect_config({});
    const Tensors inputs = aligned(l, call);
    Value y = masks_decide && l.host().keras3 ? fold_masked(l.b, inputs, f) : fold(l.b, inputs, f);
    return {{y, merged_mask(l, call)}};
  };
}

Tensors multiplied(Layer& l, const Call& call) {
  l.expect_config({});
  const Tensors inputs = aligned(l, call);
  return {{l.host().keras3 ? product_masked(l.b, inputs) : fold(l.b, inputs, multiply), merged_mask(l, call)}};
}

Tensors subtracted(Layer& l, const Call& call) {
  l.expect_config({});
  if (call.inputs.size() != 2)
    l.b.fail(ErrorKind::Mismatch, "it has " + std::to_string(call.inputs.size()) + " inputs, 2 wanted.");
  return {{fold(l.b, aligned(l, call), subtract), merged_mask(l, call)}};
}

Tensors averaged(Layer& l, const Call& call) {
  l.expect_config({});
  Value sum = fold(l.b, aligned(l, call), add);
  return {{l.b.div(sum, static_cast<double>(call.inputs.size())), merged_mask(l, call)}};
}

// An input without a mask counts as valid everywhere.
Value concatenated_mask(Layer& l, const Call& call, int64_t axis) {
  Builder& b = l.b;
  Values masks;
  bool any = false;
  for (const Tensor& t : call.inputs) {
    any = any || t.mask;
    Value mask = t.mask;
    if (!mask)
      mask = b.cast(b.ones_like(t.value), DType::Bool);
    else if (b.rank(mask) < b.rank(t.value))
      mask = l.host().keras3 ? b.expand(b.unsqueeze(mask, -1), b.sizes(t.value)) : b.unsqueeze(mask, -1);
    masks.push_back(mask);
  }
  if (!any) return {};
  return b.call(l.host().keras3 ? "aten::any.dim" : "aten::all.dim", {{"self", b.concat(masks, axis)}, {"dim", -1}});
}

Tensors concatenate(Layer& l, const Call& call) {
  l.expect_config({"axis"});
  const int64_t axis = math::axis_of(l.b, call.one().value, l.integer("axis", -1));
  Values values;
  for (const Tensor& t : call.inputs) values.push_back(t.value);
  return {{l.b.concat(values, axis), concatenated_mask(l, call, axis)}};
}

// Keras 3 bounds the inverse norm, Keras 2 the squared norm.
Value normalized(Layer& l, Value x, int64_t axis) {
  if (!l.host().keras3) return math::l2_normalize(l.b, x, axis, 1e-12);
  return math::l2_normalize_bounded(l.b, x, {axis}, 1e7);
}

// x over axis a with y over axis c, batch by batch: [batch, rest of x..., rest of y...].
Value batch_dot(Builder& b, Value x, Value y, int64_t a, int64_t c) {
  auto moved = [&](Value v, int64_t axis, int64_t to) {
    std::vector<int64_t> perm;
    for (int64_t i = 0; i < b.rank(v); ++i)
      if (i != axis) perm.push_back(i);
    perm.insert(perm.begin() + to, axis);
    return b.permute(v, perm);
  };
  x = moved(x, a, b.rank(x) - 1);
  y = moved(y, c, 1);
  Ints rest_x, rest_y;
  for (int64_t i = 1; i + 1 < b.rank(x); ++i) rest_x.push_back(b.size(x, i));
  for (int64_t i = 2; i < b.rank(y); ++i) rest_y.push_back(b.size(y, i));
  Int n = b.size(x, 0), summed = b.size(y, 1);
  auto product = [](const Ints& sizes) {
    Int p = 1;
    for (const Int& s : sizes) p = p * s;
    return p;
  };
  if (rest_x.size() != 1) x = b.reshape(x, {n, product(rest_x), summed});
  if (rest_y.size() != 1) y = b.reshape(y, {n, summed, product(rest_y)});
  Value out = b.matmul(x, y);
  if (rest_x.size() == 1 && rest_y.size() == 1) return out;
  Ints shape{n};
  shape.insert(shape.end(), rest_x.begin(), rest_x.end());
  shape.insert(shape.end(), rest_y.begin(), rest_y.end());
  if (shape.size() == 1) shape.push_back(1);  // never less than two axes
  return b.reshape(out, shape);
}

Tensors dot(Layer& l, const Call& call) {
  l.expect_config({"axes", "normalize"});
  if (call.inputs.size() != 2)
    l.b.fail(ErrorKind::Mismatch, "it has " + std::to_string(call.inputs.size()) + " inputs, 2 wanted.");
  Value x = call.inputs[0].value, y = call.inputs[1].value;
  const std::vector<int64_t> axes = l.ints("axes", 2);
  const int64_t a = math::axis_of(l.b, x, axes[0]), c = math::axis_of(l.b, y, axes[1]);
  if (a == 0 || c == 0) l.b.fail(ErrorKind::Mismatch, "it sums over the batch axis.");
  if (l.flag("normalize")) {
    x = normalized(l, x, a);
    y = normalized(l, y, c);
  }
  return {{batch_dot(l.b, x, y, a, c), {}}};
}

}  // namespace

void register_merge(Registry& r) {
  r.layer("Add", folded(add, false));
  r.layer("Average", averaged);
  r.layer("Concatenate", concatenate);
  r.layer("Dot", dot);
  r.layer("Maximum", folded(maximum, true));
  r.layer("Minimum", folded(minimum, true));
  r.layer("Multiply", multiplied);
  r.layer("Subtract", subtracted);
}

}  // namespace midstream::keras
