// Trained values back into a copy of the user's file. Where an array has its place, its bytes are overwritten and
// everything else in the file stays as it was; what has no place yet (the slots of a fresh optimizer) is added.
//
// Nothing is ever written in place: the copy is a temporary file that is flushed and renamed, so the file at `path`
// (which may be the source itself) is whole at every moment.
#pragma once

#include <string>
#include <vector>

#include "formats/npz.h"

namespace midstream {

// `arrays`: by place in the file (Variable::source), in the file's layout. Dtype and shape must be those of the file;
// Error(Mismatch) otherwise; only a Keras file's Float32 and Float64 are made of each other. Places that do not exist
// are created.
void write_keras(const std::string& source, const NamedArrays& arrays, const std::string& path);  // .keras
// .h5; `optimizer`: the new list of the optimizer's arrays (attribute "weight_names"), in Keras' order, where it
// changes.
void write_keras_h5(const std::string& source, const NamedArrays& arrays, const std::string& path,
                    const std::vector<std::string>& optimizer = {});

// A copy of a TensorFlow file: SavedModel directory, checkpoint prefix with its .meta (arrays by checkpoint key),
// frozen graph (by the name of the Const node).
void write_checkpoint(const std::string& source, const NamedArrays& arrays, const std::string& path);
void write_saved_model(const std::string& source, const NamedArrays& arrays, const std::string& path);
void write_frozen_graph(const std::string& source, const NamedArrays& arrays, const std::string& path);

}  // namespace midstream
