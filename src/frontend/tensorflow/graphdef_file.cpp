// A frozen GraphDef: one graph, its weights among the constants.
#include "frontend/tensorflow/read.h"

namespace midstream::tensorflow {

File read_graphdef_file(const std::string& path) {
  File file;
  file.path = path;
  file.format = "GraphDef";
  file.graph = read_graphdef(path);
  return file;
}

}  // namespace midstream::tensorflow
