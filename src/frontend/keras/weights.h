// Where the file keeps each layer's arrays.
#pragma once

#include "formats/hdf5.h"
#include "formats/zip.h"
#include "frontend/keras/canonical.h"

namespace midstream::keras {

// Keras 3's layout (model.weights.h5 inside a .keras file): a tree of groups named by class and counter. Gives every
// layer of the model (nested ones included) its subtree; throws Error(Mismatch) for arrays that no layer owns.
void attach_tree(Model& model, const H5File& h5, const std::string& group, const std::string& where);
// Gives the layers of a model their subtrees of `tree`, the model's own.
void attach_subtrees(Model& model, const std::shared_ptr<const WeightTree>& tree, const std::string& where);
// The whole-model .h5 layout: one group a top-level layer, arrays listed in weight_names.
// `by_order`: where the names of layers differ by their numbers alone, by the order of the layers.
void attach_flat(Model& model, const H5File& h5, const std::string& group, const std::string& where, bool by_order);

// A .keras file keeps the vocabularies that layers were adapted to beside the weights, one token a line: they go into
// the layers' config entry "vocabulary".
void attach_vocabularies(Model& model, const ZipFile& zip, const std::string& folder = "assets/layers");

// Arrays that the file has twice, the second place and the first: a wrapper (attribute "layer") may count the first
// weight of the layer inside as its own first one.
std::vector<std::pair<std::string, std::string>> copied_arrays(const Model& model);

// vars of `group`, ordered "0", "1", ... "10".
std::vector<FileArray> read_vars(const H5File& h5, const std::string& group);
// The arrays that the group's weight_names lists.
std::vector<FileArray> read_listed(const H5File& h5, const std::string& group);

}  // namespace midstream::keras
