// Dropout of a recurrent cell's inputs and states: the multipliers are drawn once per call and used at every step.
//
// Keras 3 draws them in inference too (and does not use them), so that its counter advances there as well. With
// recurrent_dropout every gate of an LSTM or GRU has its own multipliers, first those of the inputs, then those of the
// state, from one generator.
#include "lower/keras/cell_dropout.h"

#include "lower/keras/host.h"
#include "lower/math/random.h"

namespace midstream::keras {
namespace {

using Kind = math::RecurrentCell::Kind;

// One dropout: its rate and the seeds of its multipliers (null ones: PyTorch's generator).
struct Drawn {
  double rate = 0;
  Values seeds;
};

// LSTM and GRU leave a rate of 1 aside; a simple cell drops everything then, without drawing.
Drawn draw(CellLayer& c, const char* entry, size_t count) {
  const double rate = c.layer.number(entry);
  if (rate <= 0 || (rate >= 1 && c.cell.kind != Kind::Simple)) return {};
  Drawn out{.rate = rate, .seeds = Values(count)};
  if (rate >= 1) return out;
  const bool in_inference_too = c.layer.host().keras3;
  for (Value& seed : out.seeds) {
    seed = c.layer.draw_seed("seed_generator", in_inference_too);
    if (seed) seed = math::seed_of_keras(c.layer.b, seed);
  }
  return out;
}

Values multipliers(Builder& b, const Drawn& drawn, const Ints& shape, DType dtype) {
  Values out;
  for (Value seed : drawn.seeds)
    out.push_back(drawn.rate >= 1 ? b.full(shape, 0, dtype)
                                  : math::dropout(b, b.full(shape, 1, dtype), drawn.rate, shape, seed));
  return out;
}

Values flat(const math::Recurrence& r) {
  Values out{r.last};
  if (r.outputs) out.push_back(r.outputs);
  out.insert(out.end(), r.states.begin(), r.states.end());
  return out;
}

math::Recurrence unflat(const Values& values, bool has_outputs) {
  math::Recurrence r{.outputs = has_outputs ? values[1] : Value{}, .last = values[0], .states = {}};
  r.states.assign(values.begin() + (has_outputs ? 2 : 1), values.end());
  return r;
}

}  // namespace

math::Recurrence run_cell(CellLayer& c, const math::Sequence& sequence) {
  Builder& b = c.layer.b;
  const bool per_gate = c.cell.kind != Kind::Simple && c.layer.number("recurrent_dropout") > 0;
  const auto count = static_cast<size_t>(per_gate ? c.cell.gates() : 1);
  const Drawn input = draw(c, "dropout", count), state = draw(c, "recurrent_dropout", count);
  if (input.seeds.empty() && state.seeds.empty()) return math::recurrence(b, c.cell, sequence);

  const DType dtype = b.dtype(sequence.x);
  const Ints input_shape{b.size(sequence.x, 0), b.size(sequence.x, 2)}, state_shape{input_shape[0], c.cell.units};
  if (state.seeds.empty() && input.seeds.size() == 1) {
    math::Sequence dropped = sequence;
    auto drop = [&] { return Values{b.mul(sequence.x, b.unsqueeze(multipliers(b, input, input_shape, dtype)[0], 1))}; };
    dropped.x = b.cond(c.layer.training(), drop, [&] { return Values{sequence.x}; })[0];
    return math::recurrence(b, c.cell, dropped);
  }
  auto with = [&] {
    const math::CellDropout dropout{.input = multipliers(b, input, input_shape, dtype),
                                    .state = multipliers(b, state, state_shape, dtype)};
    return flat(math::recurrence(b, c.cell, sequence, dropout));
  };
  auto without = [&] { return flat(math::recurrence(b, c.cell, sequence)); };
  return unflat(b.cond(c.layer.training(), with, without), sequence.all_outputs);
}

}  // namespace midstream::keras
