// How a file keeps a variable that it does not keep as one array in the source's layout: Keras 1 has a recurrent
// layer's gates one by one, Theano's kernels are turned by 180 degrees.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/array.h"
#include "graph/transform.h"

namespace midstream {

struct FileLayout {
  std::vector<std::string> sources;  // the places of the arrays, in the container's terms; blocks along `axis`
  std::vector<std::string> names;    // as the file calls them; empty strings where it has no names
  int64_t axis = 0;
  Transforms from_file;  // of each array, before the blocks are joined

  // The variable's value from the file's arrays, one for each source. Throws Error(Mismatch) where the blocks differ in
  // shape or dtype, Error(Internal) for another number of arrays.
  Array join(const std::vector<Array>& arrays) const;
  // The inverse: source and array, in the file's layout.
  std::vector<std::pair<std::string, Array>> split(const Array& value) const;
};

}  // namespace midstream
