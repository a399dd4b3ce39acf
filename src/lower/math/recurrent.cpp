// The kernels. See recurrent.h; the loops are in recurrent_loop.cpp.
#include "lower/math/recurrent.h"

#include "lower/math/recurrent_weights.h"

namespace midstream::math {
namespace {

using Kind = RecurrentCell::Kind;

// The operator's name, plain and under a mask.
std::string kernel_name(const RecurrentCell& cell, bool masked) {
  const std::string name = cell.kind == Kind::Lstm  ? "lstm"
                           : cell.kind == Kind::Gru ? "gru"
                                                    : "rnn_" + cell.activation_name;
  return masked ? "midstream::masked_" + name : "aten::" + name + ".input";
}

void append_parameters(Builder& b, const RecurrentCell& cell, Values& params) {
  const TorchWeights w = torch_weights(b, cell);
  params.insert(params.end(), {w.w_ih, w.w_hh});
  if (!w.b_ih) return;
  // Keras has one bias where the kernel adds two; the second is a constant zero that nobody trains.
  params.insert(params.end(), {w.b_ih, w.b_hh ? w.b_hh : b.zeros_like(w.b_ih)});
}

// State number `s` of all directions as the kernel wants it: [directions, batch, units].
Value kernel_state(Builder& b, const RecurrentCell& cell, const Sequence& sequence, int64_t directions, size_t s) {
  if (sequence.initial.empty()) return b.full({directions, b.size(sequence.x, 0), cell.units}, 0, b.dtype(sequence.x));
  if (directions == 1) return b.unsqueeze(sequence.initial[s], 0);
  return b.stack({sequence.initial[s], sequence.initial[cell.states() + s]}, 0);
}

// Outputs [batch, time, directions * units], then the states [directions, batch, units].
Values run_kernel(Builder& b, const std::vector<const RecurrentCell*>& cells, const Sequence& sequence) {
  const RecurrentCell& cell = *cells[0];
  const auto directions = static_cast<int64_t>(cells.size());
  Values params, states;
  for (const RecurrentCell* c : cells) append_parameters(b, *c, params);
  for (size_t s = 0; s < cell.states(); ++s) states.push_back(kernel_state(b, cell, sequence, directions, s));
  Args args{{"input", sequence.x},
            {"params", params},
            {"has_biases", static_cast<bool>(cell.bias)},
            {"bidirectional", directions == 2}};
  if (cell.states() == 1)
    args.push_back({"hx", states[0]});
  else
    args.push_back({"hx", states});
  const bool masked = static_cast<bool>(sequence.mask);
  const Args others = masked ? Args{{"mask", sequence.mask}, {"zero_output", sequence.zero_output}}
                             : Args{{"num_layers", 1}, {"dropout", 0.0}, {"train", true}, {"batch_first", true}};
  args.insert(args.end(), others.begin(), others.end());
  return b.call_all(kernel_name(cell, masked), std::move(args));
}

// What a direction gives: `last` is the output of the step that it processes last, which without a mask is its state.
Recurrence direction(Builder& b, const RecurrentCell& cell, const Sequence& sequence, const Values& results, int64_t d,
                     int64_t directions) {
  Recurrence r;
  for (size_t s = 0; s < cell.states(); ++s) r.states.push_back(b.select(results[1 + s], 0, d));
  if (!sequence.mask) {
    r.last = r.states[0];
    return r;
  }
  r.last = b.select(results[0], 1, d == 0 ? -1 : 0);
  if (directions == 2) r.last = b.slice(r.last, 1, d * cell.units, (d + 1) * cell.units);
  return r;
}

}  // namespace

bool RecurrentCell::has_kernel() const {
  if (kind == Kind::Simple) return activation_name == "tanh" || activation_name == "relu";
  const bool usual = activation_name == "tanh" && recurrent_activation_name == "sigmoid";
  return usual && (kind == Kind::Lstm || reset_after);
}

TorchWeights torch_weights(Builder& b, const RecurrentCell& cell) {
  const bool gru = cell.kind == Kind::Gru;
  const Blocks gates{1, {1, 0, 2}};
  const Transforms kernel = gru ? Transforms{gates, Permute{{1, 0}}} : Transforms{Permute{{1, 0}}};
  TorchWeights w{.w_ih = b.stored_as(cell.kernel, kernel), .w_hh = b.stored_as(cell.recurrent_kernel, kernel)};
  if (!cell.bias) return w;
  if (!gru) {
    w.b_ih = cell.bias;
  } else if (!cell.reset_after) {
    w.b_ih = b.stored_as(cell.bias, {Blocks{0, {1, 0, 2}}});
  } else {
    Value bias = b.stored_as(cell.bias, {gates});
    w.b_ih = b.select(bias, 0, 0);
    w.b_hh = b.select(bias, 0, 1);
  }
  return w;
}

Recurrence recurrence(Builder& b, const RecurrentCell& cell, const Sequence& sequence, const CellDropout& dropout) {
  Sequence dropped = sequence;
  if (dropout.input.size() == 1) dropped.x = b.mul(sequence.x, b.unsqueeze(dropout.input[0], 1));
  if (!cell.has_kernel() || dropout.input.size() > 1 || !dropout.state.empty())
    return recurrent_loop(b, cell, dropped, dropout);
  const Values results = run_kernel(b, {&cell}, dropped);
  Recurrence r = direction(b, cell, dropped, results, 0, 1);
  if (sequence.all_outputs) r.outputs = results[0];
  return r;
}

BothWays recurrence_both_ways(Builder& b, const RecurrentCell& forward, const RecurrentCell& backward,
                              const Sequence& sequence) {
  const Values results = run_kernel(b, {&forward, &backward}, sequence);
  return {.outputs = sequence.all_outputs ? results[0] : Value{},
          .forward = direction(b, forward, sequence, results, 0, 2),
          .backward = direction(b, backward, sequence, results, 1, 2)};
}

}  // namespace midstream::math
