// ConvLSTM1D, 2D and 3D: an LSTM whose products are convolutions. The one of the inputs runs for all steps at once, the
// one of the state in a loop over time.
#include <fmt/format.h>

#include <algorithm>

#include "lower/keras/host.h"
#include "lower/keras/layout.h"
#include "lower/keras/recurrent.h"
#include "lower/math/random.h"
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

Ints without_axis(Ints sizes, size_t axis) {
  sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis));
  return sizes;
}

// [batch, channels, spatial...] -> [batch, spatial..., channels]
Ints channels_behind(Ints sizes) {
  std::rotate(sizes.begin() + 1, sizes.begin() + 2, sizes.end());
  return sizes;
}

Dims fixed(const Layer& l, const Ints& sizes) {
  Dims out;
  for (const Int& size : sizes) {
    if (!size.is_constant())
      l.b.fail(ErrorKind::Mismatch, "the layer is stateful, but the batch size of its input is not fixed.",
               "Keras wants batch_shape on the model's input.");
    out.push_back(size.constant());
  }
  return out;
}

// A dropout of the cell: its rate, and the seed of each gate's multipliers (null ones: PyTorch's generator). They are
// drawn once per call; Keras 3 draws them in inference too.
struct Seeds {
  double rate = 0;
  Values of_gate;
};

Seeds draw(Layer& cell, const char* entry) {
  const double rate = cell.number(entry);
  if (rate <= 0 || rate >= 1) return {};
  Seeds out{rate, Values(4)};
  for (Value& seed : out.of_gate) {
    seed = cell.draw_seed("seed_generator", cell.host().keras3);
    if (seed) seed = math::seed_of_keras(cell.b, seed);
  }
  return out;
}

// `shape` is that of one step as Keras has it, `last`: with the channels last.
Values multipliers(Builder& b, const Seeds& seeds, const Ints& shape, DType dtype, bool last) {
  Values out;
  for (Value seed : seeds.of_gate) {
    Value kept = math::dropout(b, b.full(shape, 1, dtype), seeds.rate, shape, seed);
    out.push_back(last ? channels_first(b, kept, 1) : kept);
  }
  return out;
}

Tensors conv_lstm(Layer& l, const Call& call, size_t spatial) {
  l.expect_config({"filters",
                   "kernel_size",
                   "strides",
                   "padding",
                   "data_format",
                   "dilation_rate",
                   "activation",
                   "recurrent_activation",
                   "use_bias",
                   "unit_forget_bias",
                   "return_sequences",
                   "return_state",
                   "go_backwards",
                   "stateful",
                   "dropout",
                   "recurrent_dropout",
                   "seed",
                   "zero_output_for_mask",
                   "unroll",
                   "rank"});
  Builder& b = l.b;
  const math::Layout layout = layout_of(l);
  const bool last = layout == math::Layout::ChannelsLast;
  Value x = call.one().value;
  expect_rank(l, x, static_cast<int64_t>(spatial) + 3);
  const Ints step_shape = without_axis(b.sizes(x), 1);
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

  const Seeds input_seeds = draw(cell, "dropout"), state_seeds = draw(cell, "recurrent_dropout");

  math::Sequence s{.x = x,
                   .mask = sequence_mask(l, call),
                   .zero_output = l.flag("zero_output_for_mask"),
                   .all_outputs = l.flag("return_sequences")};
  if (l.flag("go_backwards")) {
    x = b.flip(x, {1});
    if (s.mask) s.mask = b.flip(s.mask, {1});
  }
  const std::vector<int64_t> ones(spatial, 1);
  const math::ConvSpec of_input{.strides = l.ints("strides", spatial),
                                .dilations = l.has("dilation_rate") ? l.ints("dilation_rate", spatial) : ones,
                                .padding = padding_of(l)};
  const math::ConvSpec of_state{.strides = ones, .dilations = ones, .padding = math::Padding::Same};

  const Int batch = b.size(x, 0), time = b.size(x, 1);
  auto sizes_behind = [&](Value v, int64_t from, Ints sizes) {
    for (int64_t i = from; i < b.rank(v); ++i) sizes.push_back(b.size(v, i));
    return sizes;
  };
  auto convolved = [&](Value of, Value by, Value offset) {
    Value y = math::conv(b, b.reshape(of, sizes_behind(of, 2, {batch * time})), by, offset, of_input);
    return b.reshape(y, sizes_behind(y, 1, {batch, time}));
  };
  auto gates = [&](Value v, int64_t axis) {
    return b.call_all("aten::chunk", {{"self", v}, {"chunks", 4}, {"dim", axis}});
  };
  // All inputs at once; under dropout each gate has its own.
  auto projection = [&](const Values& kept) {
    if (kept.empty()) return convolved(x, w, bias);
    const Values kernels = gates(w, -1), offsets = bias ? gates(bias, 0) : Values(4);
    Values parts;
    for (size_t g = 0; g < 4; ++g)
      parts.push_back(convolved(b.mul(x, b.unsqueeze(kept[g], 1)), kernels[g], offsets[g]));
    return b.concat(parts, 2);
  };
  auto run = [&](const Values& input_kept, const Seeds& drop_state) {
    Value projected = projection(input_kept);
    Ints state_shape = sizes_behind(projected, 3, {batch, filters});
    if (last) state_shape = channels_behind(state_shape);
    Values kept;
    if (l.flag("stateful"))
      for (size_t i = 0; i < 2; ++i) kept.push_back(kept_state(l, i, fixed(l, state_shape)));
    Values states = starting_states(l, initial_states(call), kept);
    for (Value& v : states) {
      v = b.cast(v, l.compute_dtype());
      if (last) v = channels_first(b, v, 1);
    }
    while (states.size() < 2) states.push_back(b.full(sizes_behind(projected, 3, {batch, filters}), 0, b.dtype(x)));
    const Values state_kept = multipliers(b, drop_state, state_shape, b.dtype(x), last);
    const Values kernels = state_kept.empty() ? Values{} : gates(u, -1);
    auto step = [&](Value z, const Values& before) -> Values {
      Value of_before;
      if (state_kept.empty()) {
        of_before = math::conv(b, before[0], u, {}, of_state);
      } else {
        Values parts;
        for (size_t g = 0; g < 4; ++g)
          parts.push_back(math::conv(b, b.mul(before[0], state_kept[g]), kernels[g], {}, of_state));
        of_before = b.concat(parts, 1);
      }
      const Values gate = gates(b.add(z, of_before), 1);
      Value i = cell.activation(gate[0], "recurrent_activation"), f = cell.activation(gate[1], "recurrent_activation");
      Value next = b.add(b.mul(f, before[1]), b.mul(i, cell.activation(gate[2], "activation")));
      Value o = cell.activation(gate[3], "recurrent_activation");
      return {b.mul(o, cell.activation(next, "activation")), next};
    };
    return math::loop_over_time(b, projected, s, std::move(states), step);
  };
  math::Recurrence r;
  if (input_seeds.rate == 0 && state_seeds.rate == 0) {
    r = run({}, {});
  } else {
    auto flat = [](const math::Recurrence& of) {
      Values out{of.last, of.states[0], of.states[1]};
      if (of.outputs) out.push_back(of.outputs);
      return out;
    };
    const Values out = b.cond(
        l.training(), [&] { return flat(run(multipliers(b, input_seeds, step_shape, b.dtype(x), last), state_seeds)); },
        [&] { return flat(run({}, {})); });
    r = {.outputs = out.size() > 3 ? out[3] : Value{}, .last = out[0], .states = {out[1], out[2]}};
  }
  if (l.flag("stateful"))
    for (size_t i = 0; i < 2; ++i) {
      Value state = last ? channels_last(b, r.states[i], 1) : r.states[i];
      Value variable = b.variable(fmt::format("{}/rnn_state_{}", l.path, i));
      b.assign(variable, b.cast(state, b.dtype(variable)));
    }

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
