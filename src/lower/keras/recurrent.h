// What the recurrent layers and Bidirectional share: the cells inside a layer, with their weights.
#pragma once

#include <vector>

#include "lower/keras/layer.h"
#include "lower/math/recurrent.h"

namespace midstream::keras {

// A layer of this class has cells (LSTM, GRU, SimpleRNN, RNN).
bool is_recurrent(const std::string& class_name);

// The cells of a recurrent layer, the innermost first (several: RNN over StackedRNNCells). Makes their weights.
struct CellLayer {
  Layer layer;
  math::RecurrentCell cell;

  bool has_dropout() const { return layer.number("dropout") > 0 || layer.number("recurrent_dropout") > 0; }
};
std::vector<CellLayer> recurrent_cells(Layer& l, int64_t features);

// The tensors of argument `initial_state`, wherever the call has it: given by name, as second argument, or (Keras 2)
// behind the sequence in the list of inputs.
Values initial_states(const Call& call);
// The mask of the sequence that steps are skipped by, bool [batch, time], or null. Keras 3 fills in a tensor's own mask
// only where the call has no other tensors: a layer that is given its initial state ignores it.
Value sequence_mask(Layer& l, const Call& call);
// The mask that goes on with the outputs: here the tensor's own counts in any case.
Value passed_mask(const Call& call);

// Where the layer starts: given states, kept states (stateful=True), or zeros (empty). Keras 2 prefers kept states that
// are not all zero to given ones.
Values starting_states(Layer& l, const Values& given, const Values& kept);
// A state that outlives a run, number `index` of the layer. No file holds it: it starts as zeros.
Value kept_state(Layer& l, size_t index, const Dims& dims);

// Refuses entries of a recurrent layer's config that this file does not know.
void expect_recurrent_config(const Layer& l);

}  // namespace midstream::keras
