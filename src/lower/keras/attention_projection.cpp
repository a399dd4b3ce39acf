// See attention_projection.h.
#include "lower/keras/attention_projection.h"

#include "lower/keras/host.h"
#include "lower/math/activations.h"

namespace midstream::keras {

Value project(Layer& l, const std::string& name, const std::string& attribute, Value x, const Dims& in, const Dims& out,
              bool sigmoid) {
  Builder& b = l.b;
  json config = l.config;
  for (const char* entry : {"name", "activity_regularizer"}) config.erase(entry);
  Layer dense = l.child(attribute, name, "EinsumDense", std::move(config));
  Dims kernel = in;
  kernel.insert(kernel.end(), out.begin(), out.end());
  const int64_t n_in = num_elements(in), n_out = num_elements(out);
  Transforms to_2d;
  if (kernel != Dims{n_in, n_out}) to_2d.push_back(Reshape{kernel, {n_in, n_out}});
  to_2d.push_back(Permute{{1, 0}});
  Value weight = b.stored_as(dense.weight("kernel", kernel), to_2d), bias;
  if (l.flag("use_bias", true)) {
    bias = dense.weight("bias", out);
    if (out.size() > 1) bias = b.stored_as(bias, {Reshape{out, {n_out}}});
  }
  Value y = b.call("aten::linear", {{"input", x}, {"weight", weight}, {"bias", bias ? Arg(bias) : Arg()}});
  if (out.size() > 1) {
    Ints shape = b.sizes(y);
    shape.pop_back();
    shape.insert(shape.end(), out.begin(), out.end());
    y = b.reshape(y, shape);
  }
  if (sigmoid) y = math::sigmoid(b, y);
  if (l.has("activity_regularizer")) add_activity_loss(l, l.config.at("activity_regularizer"), y);
  return y;
}

Value drop_attention(Layer& l, Value weights) {
  Call call;
  call.inputs = {{weights, {}}};
  call.args = {call.inputs};
  const json seed = l.config.contains("seed") ? l.config.at("seed") : json();
  return l
      .lower_child(
          "_dropout_layer",
          {{"class_name", "Dropout"}, {"config", {{"name", "dropout"}, {"rate", l.number("dropout")}, {"seed", seed}}}},
          call)[0]
      .value;
}

}  // namespace midstream::keras
