// Weights <- the file's arrays; see host.h for why this is done at the end.
#pragma once

#include <string>

#include "lower/keras/host.h"

namespace midstream::keras {

// Gives every weight of the host's layers its array; throws Error(Mismatch) for missing and surplus arrays and for
// wrong shapes, naming layer and place in the file. Weights that another graph's host has bound are checked again, not
// read.
void bind_weights(LayerHost& host, Variables& variables);

// The subtree of a layer's arrays, its own or found through its parents; null if there is none.
const WeightTree* tree_of(const LayerRecord& layer);

// Throws one Error(Unsupported) that lists everything in the file that has no lowering.
void refuse_unsupported(const File& file);

}  // namespace midstream::keras
