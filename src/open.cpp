#include "open.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "frontend/tensorflow/source.h"
#include "libtorch/dialect.h"
#include "lower/keras/lower_model.h"
#include "lower/tensorflow/lower_graph.h"

namespace midstream {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Program> open_keras(const std::string& path, const OpenOptions& options) {
  // The host's records point into the file, but nothing of the host outlives the lowering here.
  keras::File file = keras::read(path, options.keras);
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

// What is no TensorFlow model, and what midstream does not open yet, by the ending that it has everywhere.
void refuse_other_kinds(const std::string& path) {
  static const std::map<std::string, std::string> kOthers{
      {".json", "is JSON"},                {".npy", "is an array"},         {".npz", "is an archive of arrays"}, {".safetensors", "is a file of tensors"},
      {".pt", "is a file of PyTorch"}, {".pth", "is a file of PyTorch"},    {".onnx", "is an ONNX model"},
      {".tflite", "is a TFLite model"}};
  const auto other = kOthers.find(fs::path(path).extension().string());
  if (other != kOthers.end() && other->first == ".json")
    throw Error(ErrorKind::Usage, path, "is JSON, which holds a model's configuration at most, not its weights.",
                "Give the file of its weights, and this one as --architecture (in Python architecture=).");
  if (other != kOthers.end())
    throw Error(ErrorKind::Unsupported, path, other->second + ", which midstream does not open as a model.",
                "Give a .keras or .h5 file, a SavedModel directory, a frozen graph or a checkpoint.");
}

std::unique_ptr<Program> open_program(const std::string& path, const OpenOptions& options) {
  refuse_other_kinds(path);
  if (!is_keras_file(path) && !options.keras.architecture.empty())
    throw Error(ErrorKind::Usage, path, "is no .h5 file of weights, which an architecture is for.");
  return is_keras_file(path) ? open_keras(path, options) : open_tensorflow(path, options);
}

}  // namespace midstream
