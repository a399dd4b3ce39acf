// The readers behind read(): one per container.
#pragma once

#include "frontend/tensorflow/source.h"

namespace midstream::tensorflow {

File read_graphdef_file(const std::string& path);
File read_saved_model_file(const std::string& directory);
File read_checkpoint_file(const std::string& prefix);  // prefix.meta beside prefix.index or a V1 file

}  // namespace midstream::tensorflow
