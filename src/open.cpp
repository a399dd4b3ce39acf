#include "open.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "frontend/tensorflow/source.h"
#include "libtorch/dialect.h"
#include "lower/keras/lower_model.h"
#include "lower/tensorflow/lower_graph.h"

namespace midstream {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Program> open_keras(const std::string& path) {
  // The host's records point into the file, but nothing of the host outlives the lowering here.
  keras::File file = keras::read(path);
  keras::LoweredModel lowered = keras::lower(file, libtorch_dialect());
  auto store = std::make_shared<VariableStore>(lowered.graph->variables);
  return std::make_unique<Program>(std::move(lowered.graph), std::move(store));
}

std::unique_ptr<Program> open_tensorflow(const std::string& path, const OpenOptions& options) {
  tensorflow::File file = tensorflow::read(path);
  tensorflow::LowerOptions lower{options.signature, options.function, options.fed, false};
  auto build = [&] {
    auto variables = std::make_shared<Variables>();
    auto graph = tensorflow::lower_graph(file, variables, libtorch_dialect(), lower);
    return std::make_unique<Program>(std::move(graph), std::make_shared<VariableStore>(std::move(variables)));
  };
  try {
    return build();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Mismatch || options.fed.empty()) throw;
  }
  lower.exact = true;  // not for every batch, but for this one
  return build();
}

}  // namespace

bool is_keras_file(const std::string& path) {
  std::string ending = fs::path(path).extension().string();
  return ending == ".keras" || ending == ".h5" || ending == ".hdf5";
}

std::unique_ptr<Program> open_program(const std::string& path, const OpenOptions& options) {
  return is_keras_file(path) ? open_keras(path) : open_tensorflow(path, options);
}

}  // namespace midstream
