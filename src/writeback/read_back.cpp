#include "writeback/read_back.h"

#include <cstring>
#include <map>

#include "base/error.h"
#include "formats/graphdef.h"
#include "formats/hdf5.h"
#include "formats/mapped_file.h"
#include "formats/tensor_bundle.h"
#include "formats/zip.h"

namespace midstream {
namespace {

[[noreturn]] void refuse(const std::string& place, const std::string& what) {
  throw Error(ErrorKind::Internal, place, "was not written as it should be: " + what + ".",
              "Nothing was replaced: the old file is as it was. Please report this.");
}

void expect_same(const std::string& place, const Array& written, const Array& wanted) {
  if (written.dtype() != wanted.dtype() || written.shape() != wanted.shape())
    refuse(place, "read back, it is " + std::string(to_string(written.dtype())) + to_string(written.shape()) +
                      " instead of " + std::string(to_string(wanted.dtype())) + to_string(wanted.shape()));
  if (wanted.nbytes() != 0 && std::memcmp(written.bytes(), wanted.bytes(), wanted.nbytes()) != 0)
    refuse(place, "read back, its values are others");
}

void expect_in(const H5File& file, const NamedArrays& arrays) {
  for (const auto& [place, array] : arrays) {
    if (!file.is_dataset(place)) refuse(place, "it is not in the file");
    expect_same(place, file.read(place), array);
  }
}

}  // namespace

void expect_in_keras(const std::string& path, const NamedArrays& arrays) {
  const ZipFile zip = ZipFile::open(path);
  expect_in(H5File(path, zip.read("model.weights.h5")), arrays);
}

void expect_in_keras_h5(const std::string& path, const NamedArrays& arrays, const std::vector<std::string>& optimizer) {
  const H5File file(path, map_file(path));  // written by us: no child process has to try it first
  expect_in(file, arrays);
  if (!optimizer.empty() && file.strings_attribute("/optimizer_weights", "weight_names") != optimizer)
    refuse("/optimizer_weights", "weight_names lists other arrays");
}

void expect_in_bundle(const std::string& prefix, const NamedArrays& arrays) {
  const TensorBundle bundle = TensorBundle::open(prefix);
  for (const auto& [key, array] : arrays) {
    if (!bundle.contains(key)) refuse(key, "it is not in the checkpoint");
    bundle.verify(key);
    expect_same(key, bundle.read(key), array);
  }
}

void expect_in_graph(const std::string& path, const NamedArrays& arrays) {
  const GraphDef graph = read_graphdef(path);
  std::map<std::string, const NodeDef*> nodes;
  for (const NodeDef& node : graph.nodes) nodes[node.name] = &node;
  for (const auto& [name, array] : arrays) {
    auto node = nodes.find(name);
    if (node == nodes.end()) refuse(name, "the graph has no such node");
    expect_same(name, node->second->attr("value").tensor(), array);
  }
}

}  // namespace midstream
