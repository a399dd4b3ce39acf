// The smallest `midstream convert`: lowers a Keras file, prints the module and writes the weights. The tests of the
// emitter use it so that they need nothing above this room.
//   emit_tool FILE DIRECTORY [--exact-random] [--graph]
#include <cstring>
#include <fstream>
#include <iostream>

#include "emit/emit.h"
#include "formats/safetensors.h"
#include "libtorch/dialect.h"
#include "lower/keras/lower_model.h"
#include "passes/pass_manager.h"

using namespace midstream;

int main(int argc, char** argv) try {
  const std::string directory = argv[2];
  EmitOptions options{.source_file = std::string(argv[1]).substr(std::string(argv[1]).rfind('/') + 1)};
  bool graph_too = false;
  for (int i = 3; i < argc; ++i) {
    options.exact_random = options.exact_random || std::strcmp(argv[i], "--exact-random") == 0;
    graph_too = graph_too || std::strcmp(argv[i], "--graph") == 0;
  }
  keras::File file = keras::read(argv[1]);
  options.written_by = (file.keras3 ? "Keras " : "tf.keras ") + file.version;
  keras::LoweredModel lowered = keras::lower(file, libtorch_dialect());
  Graph& graph = *lowered.graph;
  if (graph_too) std::ofstream(directory + "/lowered.txt") << print(graph, &libtorch_dialect());
  run_passes(graph, libtorch_dialect());
  if (graph_too) std::ofstream(directory + "/graph.txt") << print(graph, &libtorch_dialect());
  const EmittedModule module = emit_module(graph, options);
  std::ofstream(directory + "/model.py") << module.source;
  NamedArrays weights;
  for (const EmittedTensor& t : module.tensors) {
    const Variable& v = *graph.variables->find(t.variable);
    std::byte* zeros = nullptr;
    weights.push_back(
        {t.key, v.initial.empty() ? Array::allocate(v.dtype, v.dims(), &zeros) : apply(v.stored_as, v.initial)});
  }
  for (const EmittedConstant& c : module.constants) weights.push_back({c.key, c.array});
  write_safetensors(directory + "/weights.safetensors", weights);
  return 0;
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
