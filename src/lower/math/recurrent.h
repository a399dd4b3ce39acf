// Recurrent layers: LSTM, GRU and simple cells over a sequence, as Keras runs them.
//
// Where PyTorch has the same arithmetic as one kernel (tanh and sigmoid gates, a GRU that resets after the product) the
// kernel runs; under a mask on the packed valid steps (libtorch/ops/recurrent.cpp). Everything else is a loop over time
// in the graph, with the projection of the inputs hoisted out of it as one product.
//
// Weights are kept as PyTorch keeps them: w_ih [gates * units, features], w_hh [gates * units, units]; the gates of an
// LSTM are i, f, g, o in both (Keras calls g c), those of a GRU r, z, n (Keras has z, r, h).
#pragma once

#include <functional>

#include "graph/builder.h"

namespace midstream::math {

struct RecurrentCell {
  enum class Kind { Simple, Lstm, Gru };
  Kind kind = Kind::Simple;
  int64_t units = 0;
  bool reset_after = true;  // GRU: the reset gate multiplies U h + b (true) or h itself
  // The functions themselves, and their names where they are plain Keras functions ("tanh"): kernels are chosen by
  // them.
  std::function<Value(Value)> activation, recurrent_activation;
  std::string activation_name, recurrent_activation_name;
  // In Keras' layout: kernel [features, gates * units], recurrent_kernel [units, gates * units], bias [gates * units]
  // (a GRU that resets after: [2, gates * units], for the inputs and for the state) or null.
  Value kernel, recurrent_kernel, bias;

  int64_t gates() const { return kind == Kind::Lstm ? 4 : kind == Kind::Gru ? 3 : 1; }
  size_t states() const { return kind == Kind::Lstm ? 2 : 1; }
  bool has_kernel() const;  // PyTorch has a kernel for it
};

struct Sequence {
  Value x;                   // [batch, time, features], in the order in which it is to be processed
  Value mask;                // bool [batch, time], or null
  Values initial;            // one per state, [batch, units]; empty: zeros
  bool zero_output = false;  // masked steps give zeros, not the previous output
  bool all_outputs = true;   // outputs of all steps are wanted
};

// Multipliers that drop parts of the inputs [batch, features] and of the state [batch, units]: one for all gates, or
// one for each gate in Keras' order; empty: nothing is dropped.
struct CellDropout {
  Values input, state;
};

struct Recurrence {
  Value outputs;  // [batch, time, units], in the order of processing; null unless all_outputs
  Value last;     // [batch, units]: the output of the last step
  Values states;  // after the last step
};

// Any cell, as a loop over the steps of `projected` [batch, time, ...]: `step` takes one of them and the states before it
// and gives the states after it, the output first. Of `sequence` the mask and the flags count.
using StepFn = std::function<Values(Value projected, const Values& states)>;
Recurrence loop_over_time(Builder& b, Value projected, const Sequence& sequence, Values states, const StepFn& step);

Recurrence recurrence(Builder& b, const RecurrentCell& cell, const Sequence& sequence, const CellDropout& dropout = {});

// Both directions of a bidirectional layer in one kernel. `sequence.initial` holds the forward states, then the
// backward ones. Results are in the input's order: `last` of the backward direction is its output at the first step.
// Both cells have kernels and differ in their weights only.
struct BothWays {
  Value outputs;                 // [batch, time, 2 * units]; null unless all_outputs
  Recurrence forward, backward;  // without outputs
};
BothWays recurrence_both_ways(Builder& b, const RecurrentCell& forward, const RecurrentCell& backward,
                              const Sequence& sequence);

}  // namespace midstream::math
