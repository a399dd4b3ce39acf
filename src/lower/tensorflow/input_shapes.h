// Shapes of inputs that a file leaves open.
#pragma once

#include "frontend/tensorflow/source.h"

namespace midstream::tensorflow {

// What the readers of a placeholder of unknown rank say about it; nullopt where they say nothing.
TfShape shape_from_readers(const File& file, const std::string& placeholder);

}  // namespace midstream::tensorflow
