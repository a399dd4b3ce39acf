// What was written is read again, by the way that the frameworks take, and compared bit for bit with what was to be
// written. All throw Error(Internal) that names the first array that differs; they are called before the new file takes
// the place of the old one.
#pragma once

#include <string>
#include <vector>

#include "formats/npz.h"

namespace midstream {

// `arrays`: by place, as in write_keras.
void expect_in_keras(const std::string& path, const NamedArrays& arrays);
// `optimizer`: what "weight_names" must list; empty: whatever the file says.
void expect_in_keras_h5(const std::string& path, const NamedArrays& arrays, const std::vector<std::string>& optimizer);
// `prefix`: of a checkpoint, or of the variables of a SavedModel.
void expect_in_bundle(const std::string& prefix, const NamedArrays& arrays);
// The text of a GraphDef.
void expect_in_graph(const std::string& path, const NamedArrays& arrays);

}  // namespace midstream
