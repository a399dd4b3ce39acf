// Opens .keras (zip) and .h5 files; see model.h.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "formats/zip.h"
#include "frontend/keras/canonical.h"
#include "frontend/keras/weights.h"

namespace midstream::keras {
namespace {

std::string text_of(const ZipFile& zip, const char* member) {
  if (!zip.contains(member))
    throw Error(ErrorKind::BadFile, zip.name(),
                fmt::format("this zip file has no member '{}', so it is not a .keras file.", member));
  check_config_size(zip.find(member)->size, zip.name() + ": " + member);
  zip.verify(member);
  return std::string(zip.read(member).text());
}

// Up to this size a damaged weights file is found by its checksum; checking takes as long as reading, so larger ones
// are opened without.
constexpr uint64_t kVerified = uint64_t{64} << 20;

void count_policies(const Model& model, std::map<std::string, int>& layers, std::map<std::string, int>& inputs) {
  for (const SourceLayer& layer : model.layers) {
    if (layer.model) count_policies(*layer.model, layers, inputs);
    // Operations have no dtype of their own; a model's is about none of its layers.
    if (layer.model || layer.class_name.starts_with("ops.")) continue;
    auto dtype = layer.config.find("dtype");
    if (dtype == layer.config.end() || !dtype->is_string()) continue;
    const std::string policy = *dtype;
    const std::string name = policy.starts_with("mixed_") ? "float32" : policy;
    const auto parsed = parse_dtype(name);
    if (!parsed || !is_floating(*parsed)) continue;  // indices as input
    ++(layer.class_name == "InputLayer" ? inputs : layers)[name];
  }
}

std::string most_frequent(const std::map<std::string, int>& counts) {
  auto best =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return best == counts.end() ? "" : best->first;
}

// No file says what floatx was. Keras 3's learning rate is a variable of that dtype; else most layers have it, and
// where no layer has a dtype, the inputs.
void find_floatx(File& file) {
  if (file.keras3 && file.optimizer && file.optimizer->all.size() > 1 && file.compile.is_object() &&
      file.compile.at("optimizer").is_object()) {
    json config = file.compile.at("optimizer").value("config", json::object());
    if (config.contains("inner_optimizer")) config = config.at("inner_optimizer").value("config", json::object());
    const Array& rate = file.optimizer->all[1].array;
    if (config.contains("learning_rate") && config.at("learning_rate").is_number() && rate.shape().empty() &&
        is_floating(rate.dtype())) {
      file.floatx = to_string(rate.dtype());
      return;
    }
  }
  std::map<std::string, int> layers, inputs;
  count_policies(file.model, layers, inputs);
  file.floatx = most_frequent(layers);
  if (file.floatx.empty()) file.floatx = most_frequent(inputs);
  if (file.floatx.empty()) file.floatx = "float32";
}

// `from` becomes `to` in this config and in those of the layers inside it.
void replace_policy(json& config, const std::string& from, const std::string& to) {
  if (config.is_array()) {
    for (json& c : config) replace_policy(c, from, to);
  } else if (config.is_object()) {
    for (auto& [key, value] : config.items())
      if (key == "dtype" && value == from)
        value = to;
      else
        replace_policy(value, from, to);
  }
}

void replace_policies(Model& model, const std::string& from, const std::string& to, const std::string& path) {
  for (SourceLayer& layer : model.layers) {
    if (layer.model) replace_policies(*layer.model, from, to, path);
    if (const std::string policy = layer.config.value("dtype", ""); policy.starts_with("mixed_"))
      throw Error(ErrorKind::Unsupported, path + ": " + layer.name,
                  "computes in " + policy + ", a model of mixed precision keeps its dtypes.");
    replace_policy(layer.config, from, to);
  }
}

void finish(File& file, const json& compile, const WrittenBy& by) {
  file.version = by.version;
  file.keras3 = by.keras3();
  if (compile.is_object() && !compile.empty()) file.compile = canonical_compile(compile, file.model, by);
}

OptimizerState state_of(std::vector<FileArray> arrays) {
  OptimizerState state;
  state.all = std::move(arrays);
  return state;
}

// The model of the config, of a class of the user's as well where it is to be read as a plain one.
Model model_of(json config, const WrittenBy& by, const ReadOptions& options) {
  if (options.ignore_train_step) make_plain(config, by);
  return canonical_model(config, by);
}

File read_zip(const std::string& path, const ReadOptions& options) {
  const ZipFile zip = ZipFile::open(path);
  File file;
  file.path = path;
  file.format = ".keras";
  const json metadata = parse_python_json(text_of(zip, "metadata.json"), path + ": metadata.json");
  const WrittenBy by = written_by(metadata.value("keras_version", std::string()));
  const json config = parse_python_json(text_of(zip, "config.json"), path + ": config.json");
  file.model = model_of(config, by, options);
  if (!zip.contains("model.weights.h5"))
    throw Error(ErrorKind::Unsupported, path, "this .keras file has no member 'model.weights.h5'.",
                "Only weights in HDF5 are read.");
  const bool verified = zip.find("model.weights.h5")->size <= kVerified;
  if (verified) zip.verify("model.weights.h5");
  const H5File h5(path + ": model.weights.h5", zip.read("model.weights.h5"));
  if (!verified) h5.probe();
  attach_tree(file.model, h5, "/", path);
  finish(file, config.value("compile_config", json()), by);
  for (const char* group : {"/optimizer/vars", "/optimizer/inner_optimizer/vars", "/optimizer/_inner_optimizer/vars"}) {
    if (!h5.is_group(group) || h5.datasets(group).empty()) continue;
    std::vector<FileArray> arrays = read_vars(h5, group);
    if (!file.optimizer) {
      file.optimizer = state_of(std::move(arrays));
    } else {  // LossScaleOptimizer: its own two numbers, then the inner optimizer's
      for (size_t i = 0; i < file.optimizer->all.size(); ++i)
        file.optimizer->scalars[fmt::format("loss_scale_{}", i)] = file.optimizer->all[i];
      file.optimizer->all = std::move(arrays);
    }
  }
  find_floatx(file);
  return file;
}

File read_h5(const std::string& path, const ReadOptions& options) {
  const H5File h5 = H5File::open(path);
  const auto config_text = h5.string_attribute("/", "model_config");
  if (!config_text) {
    const bool weights = h5.has_attribute("/", "layer_names") || h5.is_group("/layers") ||
                         h5.is_group("/_layer_checkpoint_dependencies");
    throw Error(ErrorKind::BadFile, path,
                weights ? "this file holds a model's weights but not its configuration (no attribute 'model_config')."
                        : "this HDF5 file is not a Keras model: it has no attribute 'model_config'.",
                weights ? "Load the weights into the model in Keras and save the whole model." : "");
  }
  File file;
  file.path = path;
  file.format = ".h5";
  const std::string weights = h5.is_group("/model_weights") ? "/model_weights" : "/";
  std::string version = h5.string_attribute("/", "keras_version").value_or("");
  if (version.empty()) version = h5.string_attribute(weights, "keras_version").value_or("");
  WrittenBy by = written_by(version);
  by.backend = h5.string_attribute("/", "backend").value_or("");
  if (by.backend.empty()) by.backend = h5.string_attribute(weights, "backend").value_or("");
  file.model = model_of(parse_python_json(*config_text, path + ": model_config"), by, options);
  attach_flat(file.model, h5, weights, path);
  const auto training = h5.string_attribute("/", "training_config");
  finish(file, training ? parse_python_json(*training, path + ": training_config") : json(), by);
  if (h5.is_group("/optimizer_weights")) {
    std::vector<FileArray> arrays = read_listed(h5, "/optimizer_weights");
    if (!arrays.empty()) file.optimizer = state_of(std::move(arrays));
  }
  find_floatx(file);
  return file;
}

}  // namespace

void set_floatx(File& file, const std::string& dtype) {
  if (dtype != "float32" && dtype != "float64")
    throw Error(ErrorKind::Usage, "dtype", "'" + dtype + "' is none that a file can be made to compute in.",
                "Give float32 or float64.");
  if (file.floatx == dtype) return;
  replace_policies(file.model, file.floatx, dtype, file.path);
  file.floatx = dtype;
}

File read(const std::string& path, const ReadOptions& options) {
  if (std::filesystem::is_directory(path))
    throw Error(ErrorKind::Usage, path, "this is a directory, a .keras or .h5 file is wanted.");
  const SharedBytes bytes = map_file(path);
  const std::string_view start = bytes.text().substr(0, 4);
  try {
    if (start == "PK\x03\x04" || start == "PK\x05\x06") return read_zip(path, options);
    if (H5File::looks_like(bytes.bytes)) return read_h5(path, options);
  } catch (const json::exception& e) {
    throw Error(ErrorKind::BadFile, path, fmt::format("its configuration is not of a known form: {}.", e.what()));
  } catch (const Error& e) {
    if (e.where().starts_with(path)) throw;
    throw e.at(path);
  }
  throw Error(ErrorKind::BadFile, path, "this is neither a .keras (zip) nor an HDF5 file.");
}

}  // namespace midstream::keras
