// ConvLSTM1D, 2D and 3D: an LSTM whose products are convolutions. The one of the inputs runs for all steps at once, the
// one of the state in a loop over time.
#include <fmt/format.h>

#include "lower/keras/layout.h"
#include "lower/keras/recurrent.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// Behind `lead` axes: [..., spatial, channels] -> [..., channels, spatial], and back.
Value channels_first(Builder& b, Value v, int64_t lead) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < lead; ++i) order.push_back(i);
  order.push_back(b.rank(v) - 1);
  for (int64_t i = lead; i + 1 < b.rank(v); ++i) order.push_back(i);
  return b.permute(v, order);
}
Value channels_last(Builder& b, Value v, int64_t lead) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < lead; ++i) order.push_back(i);
  for (int64_t i = lead + 1; i < b.rank(v); ++i) order.push_back(i);
  order.push_back(lead);
  return b.permute(v, order);
}

Tensors conv_lstm(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation",
                   "recurrent_activation", "use_bias", "unit_forget_bias", "return_sequences", "return_state",
                   "go_backwards", "stateful", "dropout", "recurrent_dropout", "seed", "zero_output_for_mask", "unroll",
                   "rank"});
  Builder& b = l.b;
  for (const char* entry : {"dropout", "recurrent_dropout"})
    if (l.number(entry) > 0)
      b.fail(ErrorKind::Unsupported, fmt::format("config entry '{}' is {}: dropout inside a ConvLSTM has no lowering.",
                                                 entry, l.number(entry)));
  if (l.flag("stateful"))
    b.fail(ErrorKind::Unsupported, "the layer is stateful, which a ConvLSTM cannot be here.",
           "Save it with stateful=False and give it its initial_state.");
  const math::Layout layout = layout_of(l);
  const bool last = layout == math::Layout::ChannelsLast;
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 3);
  if (last) x = channels_first(b, x, 2);
  const int64_t c_in = b.dims(x)[2], filters = l.integer("filters"), columns = 4 * filters;
  if (c_in == kUnknown) b.fail(ErrorKind::Mismatch, "the number of channels of its input is not fixed.");

  json inner = l.config;
  inner.erase("name");
  Layer cell = l.child("cell", "conv_lstm_cell", "ConvLSTMCell", std::move(inner));
  std::vector<int64_t> kernel = l.ints("kernel_size", spatial), recurrent = kernel;
  kernel.insert(kernel.end(), {c_in, columns});
  recurrent.insert(recurrent.end(), {filters, columns});
  Value w = cell.weight("kernel", kernel), u = cell.weight("recurrent_kernel", recurrent);
  Value bias = l.flag("use_bias", true) ? cell.weight("bias", {columns}) : Value{};

  math::Sequence s{.x = x,
                   .mask = sequence_mask(l, call),
                   .zero_output = l.flag("zero_output_for_mask"),
                   .all_outputs = l.flag("return_sequences")};
  if (l.flag("go_backwards")) {
    x = b.flip(x, {1});
    if (s.mask) s.mask = b.flip(s.mask, {1});
  }
  const std::vector<int64_t> ones(spatial, 1);
  const math::ConvSpec of_input{
      .strides = l.ints("strides", spatial),
      .dilations = l.has("dilation_rate") ? l.ints("dilation_rate", spatial) : ones,
      .padding = padding_of(l)};
  const math::ConvSpec of_state{.strides = ones, .dilations = ones, .padding = math::Padding::Same};

  const Int batch = b.size(x, 0), time = b.size(x, 1);
  auto sizes_behind = [&](Value v, int64_t from, Ints sizes) {
    for (int64_t i = from; i < b.rank(v); ++i) sizes.push_back(b.size(v, i));
    return sizes;
  };
  Value steps = b.reshape(x, sizes_behind(x, 2, {batch * time}));
  Value projected = math::conv(b, steps, w, bias, of_input);
  projected = b.reshape(projected, sizes_behind(projected, 1, {batch, time}));

  Values states = initial_states(call);
  for (Value& v : states) {
    v = b.cast(v, l.compute_dtype());
    if (last) v = channels_first(b, v, 1);
  }
  while (states.size() < 2) states.push_back(b.full(sizes_behind(projected, 3, {batch, filters}), 0, b.dtype(x)));
  auto step = [&](Value z, const Values& before) -> Values {
    z = b.add(z, math::conv(b, before[0], u, {}, of_state));
    const Values gate = b.call_all("aten::chunk", {{"self", z}, {"chunks", 4}, {"dim", 1}});
    Value i = cell.activation(gate[0], "recurrent_activation"), f = cell.activation(gate[1], "recurrent_activation");
    Value next = b.add(b.mul(f, before[1]), b.mul(i, cell.activation(gate[2], "activation")));
    Value o = cell.activation(gate[3], "recurrent_activation");
    return {b.mul(o, cell.activation(next, "activation")), next};
  };
  math::Recurrence r = math::loop_over_time(b, projected, s, std::move(states), step);

  Tensors out;
  if (s.all_outputs)
    out.push_back({last ? channels_last(b, r.outputs, 2) : r.outputs, passed_mask(call)});
  else
    out.push_back({last ? channels_last(b, r.last, 1) : r.last, {}});
  if (l.flag("return_state"))
    for (Value state : r.states) out.push_back({last ? channels_last(b, state, 1) : state, {}});
  return out;
}

}  // namespace

void register_conv_lstm(Registry& r) {
  for (const size_t spatial : {1, 2, 3})
    r.layer(fmt::format("ConvLSTM{}D", spatial),
            [spatial](Layer& l, const Call& call) { return conv_lstm(l, call, spatial); });
}

}  // namespace midstream::keras
