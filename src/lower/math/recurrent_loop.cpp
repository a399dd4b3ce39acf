// The loop over time as a region of the graph: for gates that are not tanh and sigmoid, for a GRU that resets before
// the product, and for dropped states. See recurrent.h.
#include <array>

#include "lower/math/recurrent_weights.h"

namespace midstream::math {
namespace {

using Kind = RecurrentCell::Kind;

Value linear(Builder& b, Value x, Value weight, Value bias = {}) {
  return b.call("aten::linear", {{"input", x}, {"weight", weight}, {"bias", bias ? Arg(bias) : Arg()}});
}

Values chunk(Builder& b, Value v, int64_t n, int64_t dim) {
  return b.call_all("aten::chunk", {{"self", v}, {"chunks", n}, {"dim", dim}});
}

// One multiplier per gate, given in Keras' order, in the order of the stored weights.
Values gate_order(const RecurrentCell& cell, const Values& multipliers) {
  if (cell.kind != Kind::Gru || multipliers.size() != 3) return multipliers;
  return {multipliers[1], multipliers[0], multipliers[2]};
}

class Loop {
 public:
  Loop(Builder& b, const RecurrentCell& cell, const CellDropout& dropout)
      : b_(b),
        cell_(cell),
        w_(torch_weights(b, cell)),
        input_(gate_order(cell, dropout.input)),
        state_(gate_order(cell, dropout.state)) {
    const bool per_gate = state_.size() > 1;
    if (per_gate) w_hh_ = chunk(b, w_.w_hh, cell.gates(), 0);
    if (per_gate && w_.b_hh) b_hh_ = chunk(b, w_.b_hh, cell.gates(), 0);
    if (resets_before() && !per_gate)
      w_hh_ = {b.slice(w_.w_hh, 0, 0, 2 * cell.units), b.slice(w_.w_hh, 0, 2 * cell.units, 3 * cell.units)};
  }

  // The part of all gates that does not depend on the state: W x + b for all steps at once.
  Value project(Value x) {
    if (input_.size() <= 1) return linear(b_, x, w_.w_ih, w_.b_ih);
    const int64_t gates = cell_.gates();
    Values w = chunk(b_, w_.w_ih, gates, 0), bias, out;
    if (w_.b_ih) bias = chunk(b_, w_.b_ih, gates, 0);
    for (size_t g = 0; g < w.size(); ++g)
      out.push_back(linear(b_, b_.mul(x, b_.unsqueeze(input_[g], 1)), w[g], bias.empty() ? Value{} : bias[g]));
    return b_.concat(out, -1);
  }

  // The new states, the output first.
  Values step(Value projected, const Values& states) {
    switch (cell_.kind) {
      case Kind::Lstm: return lstm(projected, states[0], states[1]);
      case Kind::Gru: return {gru(projected, states[0])};
      case Kind::Simple: break;
    }
    Value h = state_.empty() ? states[0] : b_.mul(states[0], state_[0]);
    return {cell_.activation(b_.add(projected, linear(b_, h, w_.w_hh)))};
  }

 private:
  bool resets_before() const { return cell_.kind == Kind::Gru && !cell_.reset_after; }
  Value dropped(Value h, size_t gate) { return state_.empty() ? h : b_.mul(h, state_[gate]); }

  // U h (+ b), of all gates together or, when each sees another part of h, one by one.
  Values recurrent(Value h) {
    if (w_hh_.empty()) return chunk(b_, linear(b_, h, w_.w_hh, w_.b_hh), cell_.gates(), 1);
    Values out;
    for (size_t g = 0; g < w_hh_.size(); ++g)
      out.push_back(linear(b_, dropped(h, g), w_hh_[g], b_hh_.empty() ? Value{} : b_hh_[g]));
    return out;
  }

  Values lstm(Value projected, Value h, Value c) {
    Values x, u;
    if (w_hh_.empty()) {
      x = chunk(b_, b_.add(projected, linear(b_, h, w_.w_hh)), 4, 1);
    } else {
      x = chunk(b_, projected, 4, 1);
      u = recurrent(h);
      for (size_t g = 0; g < 4; ++g) x[g] = b_.add(x[g], u[g]);
    }
    Value i = cell_.recurrent_activation(x[0]), f = cell_.recurrent_activation(x[1]);
    Value next = b_.add(b_.mul(f, c), b_.mul(i, cell_.activation(x[2])));
    Value o = cell_.recurrent_activation(x[3]);
    return {b_.mul(o, cell_.activation(next)), next};
  }

  Value gru(Value projected, Value h) {
    const Values x = chunk(b_, projected, 3, 1);
    Value r, z, candidate;
    if (resets_before() && state_.size() <= 1) {
      const Values u = chunk(b_, linear(b_, h, w_hh_[0]), 2, 1);
      r = cell_.recurrent_activation(b_.add(x[0], u[0]));
      z = cell_.recurrent_activation(b_.add(x[1], u[1]));
      candidate = linear(b_, b_.mul(r, h), w_hh_[1]);
    } else if (resets_before()) {
      r = cell_.recurrent_activation(b_.add(x[0], linear(b_, dropped(h, 0), w_hh_[0])));
      z = cell_.recurrent_activation(b_.add(x[1], linear(b_, dropped(h, 1), w_hh_[1])));
      candidate = linear(b_, b_.mul(r, dropped(h, 2)), w_hh_[2]);
    } else {
      const Values u = recurrent(h);
      r = cell_.recurrent_activation(b_.add(x[0], u[0]));
      z = cell_.recurrent_activation(b_.add(x[1], u[1]));
      candidate = b_.mul(r, u[2]);
    }
    Value n = cell_.activation(b_.add(x[2], candidate));
    return b_.add(b_.mul(z, h), b_.mul(b_.rsub(1.0, z), n));
  }

  Builder& b_;
  const RecurrentCell& cell_;
  TorchWeights w_;
  Values input_, state_;  // multipliers, in the order of the stored gates
  Values w_hh_, b_hh_;    // by gate, where the gates are computed apart; a GRU that resets before: {r and z, n}
};

// [batch, time, ...] -> list of [batch, ...]
Value by_step(Builder& b, Value v) {
  std::vector<int64_t> time_first{1, 0};
  for (int64_t i = 2; i < b.rank(v); ++i) time_first.push_back(i);
  return b.call("midstream::list_from_tensor", {{"x", b.permute(v, time_first)}});
}

// Masked steps hold the state, so the first state is the previous output already, except before the first valid step,
// where Keras gives zeros, whatever the initial state.
Value mask_outputs(Builder& b, Value outputs, Value mask, bool zero_output) {
  Value keep = zero_output ? mask : b.compare("gt", b.call("aten::cumsum", {{"self", mask}, {"dim", 1}}), 0.0);
  while (b.rank(keep) < b.rank(outputs)) keep = b.unsqueeze(keep, -1);
  return b.where(keep, outputs, b.zeros_like(outputs));
}

}  // namespace

Recurrence loop_over_time(Builder& b, Value projected, const Sequence& s, Values states, const StepFn& step) {
  const Int time = b.size(projected, 1);
  Value inputs = by_step(b, projected);
  Value valid;
  if (s.mask) {
    Value mask = s.mask;
    for (int64_t i = 1; i < b.rank(states[0]); ++i) mask = b.unsqueeze(mask, -1);
    valid = by_step(b, mask);
  }
  // Carried: the step's number, the outputs so far (a list of the right length from the start), the states.
  Ints shape{time};
  for (int64_t i = 0; i < b.rank(states[0]); ++i) shape.push_back(b.size(states[0], i));
  Value blank = b.expand(b.zeros_like(b.unsqueeze(states[0], 0)), shape);
  Values carried{b.value_of(0), b.call("midstream::list_from_tensor", {{"x", blank}})};
  carried.insert(carried.end(), states.begin(), states.end());
  Values end = b.while_loop(
      carried, [&](const Values& v) { return b.call("midstream::int_lt", {{"a", v[0]}, {"b", time}}); },
      [&](const Values& v) {
        const Int t(b, v[0]);
        const Values before(v.begin() + 2, v.end());
        Values after = step(b.call("midstream::list_get", {{"l", inputs}, {"i", t}}), before);
        if (valid) {
          Value keep = b.call("midstream::list_get", {{"l", valid}, {"i", t}});
          for (size_t i = 0; i < after.size(); ++i) after[i] = b.where(keep, after[i], before[i]);
        }
        Values next{b.value_of(t + Int(1)), b.call("midstream::list_set", {{"l", v[1]}, {"i", t}, {"x", after[0]}})};
        next.insert(next.end(), after.begin(), after.end());
        return next;
      });

  Recurrence r;
  r.states.assign(end.begin() + 2, end.end());
  r.last = r.states[0];
  if (!s.all_outputs && !s.mask) return r;
  std::vector<int64_t> batch_first{1, 0};
  for (int64_t i = 1; i < b.rank(states[0]); ++i) batch_first.push_back(i + 1);
  Value outputs = b.permute(b.call("midstream::list_stack", {{"l", end[1]}}), batch_first);
  if (s.mask) {
    outputs = mask_outputs(b, outputs, s.mask, s.zero_output);
    r.last = b.select(outputs, 1, -1);
  }
  if (s.all_outputs) r.outputs = outputs;
  return r;
}

Recurrence recurrent_loop(Builder& b, const RecurrentCell& cell, const Sequence& s, const CellDropout& dropout) {
  Loop loop(b, cell, dropout);
  Values states = s.initial;
  while (states.size() < cell.states()) states.push_back(b.full({b.size(s.x, 0), cell.units}, 0, b.dtype(s.x)));
  return loop_over_time(b, loop.project(s.x), s, std::move(states),
                        [&](Value x, const Values& before) { return loop.step(x, before); });
}

}  // namespace midstream::math
