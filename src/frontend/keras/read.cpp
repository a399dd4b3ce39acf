// Opens .keras (zip) and .h5 files; see model.h.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "formats/zip.h"
#include "frontend/keras/canonical.h"
#include "frontend/keras/loss_scale.h"
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
    const json config = file.compile.at("optimizer").value("config", json::object());
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

OptimizerState state_of(std::vector<FileArray> arrays) {
  OptimizerState state;
  state.all = std::move(arrays);
  return state;
}

// What describes a model apart from its weights.
struct Architecture {
  json config;   // {"class_name", "config"}
  json compile;  // null: never compiled
  WrittenBy by;
};

// The model of the config, of a class of the user's as well where it is to be read as a plain one.
Model model_of(json config, const WrittenBy& by, const ReadOptions& options) {
  if (options.ignore_train_step) make_plain(config, by);
  return canonical_model(config, by);
}

Architecture of_zip(const ZipFile& zip, const std::string& path) {
  const json metadata = parse_python_json(text_of(zip, "metadata.json"), path + ": metadata.json");
  Architecture a;
  a.by = written_by(metadata.value("keras_version", std::string()));
  a.config = parse_python_json(text_of(zip, "config.json"), path + ": config.json");
  a.compile = a.config.value("compile_config", json());
  return a;
}

std::string attribute(const H5File& h5, const std::string& name) {
  std::string value = h5.string_attribute("/", name).value_or("");
  if (value.empty() && h5.is_group("/model_weights")) value = h5.string_attribute("/model_weights", name).value_or("");
  return value;
}

// Nothing for a file without a configuration.
std::optional<Architecture> of_h5(const H5File& h5, const std::string& path) {
  const auto text = h5.string_attribute("/", "model_config");
  if (!text) return std::nullopt;
  Architecture a;
  a.by = written_by(attribute(h5, "keras_version"));
  a.by.backend = attribute(h5, "backend");
  a.config = parse_python_json(*text, path + ": model_config");
  if (const auto training = h5.string_attribute("/", "training_config"))
    a.compile = parse_python_json(*training, path + ": training_config");
  return a;
}

// What model.to_json() wrote. `weights`: the file of its weights, which may be the only one to name a version.
Architecture of_json(std::string_view text, const std::string& path, const H5File& weights, bool tree) {
  Architecture a;
  a.config = parse_python_json(text, path);
  if (!a.config.is_object() || !a.config.contains("class_name") || !a.config.contains("config"))
    throw Error(ErrorKind::BadFile, path, "is JSON, but not of a Keras model: it has no class_name and config.",
                "Give what model.to_json() returned.");
  std::string version = a.config.value("keras_version", std::string());
  if (version.empty() && !tree) version = attribute(weights, "keras_version");
  // Keras 3 names no version here, but the module; the first Keras 1 named neither, as Keras' own reader knows.
  if (version.empty()) version = a.config.contains("module") ? "3.0.0" : tree ? "2.12.0-tf" : "1.0.0";
  a.by = written_by(version);
  if (a.config.contains("backend") && a.config.at("backend").is_string()) a.by.backend = a.config.at("backend");
  if (const std::string backend = attribute(weights, "backend"); !backend.empty()) a.by.backend = backend;
  a.compile = a.config.value("compile_config", json());
  return a;
}

bool is_zip(std::string_view start) { return start.starts_with("PK\x03\x04") || start.starts_with("PK\x05\x06"); }

// The configuration for a file of weights.
Architecture given_architecture(const std::string& path, const H5File& weights, bool tree) {
  if (std::filesystem::is_directory(path))
    throw Error(ErrorKind::Usage, path, "this is a directory, a .json, .keras or .h5 file is wanted.");
  const SharedBytes bytes = map_file(path);
  const std::string_view text = bytes.text();
  if (is_zip(text.substr(0, 4))) return of_zip(ZipFile::open(path), path);
  if (H5File::looks_like(bytes.bytes)) {
    auto found = of_h5(H5File::open(path), path);
    if (!found) throw Error(ErrorKind::Usage, path, "has no configuration either: it holds weights alone.");
    return *found;
  }
  check_config_size(text.size(), path);
  return of_json(text, path, weights, tree);
}

std::string listed_names(const json& optimizer) {
  return optimizer.is_string() ? optimizer.get<std::string>() : optimizer.value("class_name", std::string("one"));
}

// compile() as the file has it, with what the user says instead.
json compiled(const Architecture& a, const ReadOptions& options, File& file) {
  json compile = a.compile.is_object() && !a.compile.empty() ? a.compile : json();
  if (options.loss.empty() && options.optimizer.empty() && options.learning_rate == 0) return compile;
  if (compile.is_null()) compile = json::object();
  const char* entry = compile.contains("optimizer_config") ? "optimizer_config" : "optimizer";
  const bool has_optimizer = compile.contains(entry) && !compile.at(entry).is_null();
  if (!options.optimizer.empty()) {
    if (has_optimizer)
      throw Error(ErrorKind::Usage, file.path,
                  fmt::format("was compiled with the optimizer {}, and its file would still say so.",
                              listed_names(compile.at(entry))),
                  "Leave out the optimizer; for another one compile the model in Keras and save it again.");
    compile[entry] = options.optimizer;
    file.optimizer_given = true;
  } else if (!has_optimizer) {
    throw Error(ErrorKind::Usage, file.path, "names no optimizer.", "Give --optimizer beside, such as adam.");
  }
  if (!options.loss.empty()) compile["loss"] = options.loss;
  if (compile.value("loss", json()).is_null())
    throw Error(ErrorKind::Usage, file.path, "names no loss.",
                "Give --loss beside, such as mse or sparse_categorical_crossentropy.");
  return compile;
}

void finish(File& file, const Architecture& a, const ReadOptions& options) {
  file.version = a.by.version;
  file.keras3 = a.by.keras3();
  const json compile = compiled(a, options, file);
  if (!compile.is_object() || compile.empty()) return;
  file.compile = canonical_compile(compile, file.model, a.by);
  if (options.learning_rate == 0) return;
  json& config = file.compile.at("optimizer").at("config");
  if (config.contains("learning_rate") && config.at("learning_rate").is_object())
    throw Error(ErrorKind::Usage, file.path,
                fmt::format("has a learning-rate schedule, {}, and its file would still say so.",
                            config.at("learning_rate").value("class_name", std::string())),
                "Leave out the learning rate.");
  config["learning_rate"] = options.learning_rate;
}

void read_optimizer_tree(File& file, const H5File& h5) {
  const auto arrays = [&](const char* group) {
    return h5.is_group(group) && !h5.datasets(group).empty() ? read_vars(h5, group) : std::vector<FileArray>();
  };
  std::vector<FileArray> own = arrays("/optimizer/vars"), inner = arrays("/optimizer/inner_optimizer/vars");
  if (inner.empty()) inner = arrays("/optimizer/_inner_optimizer/vars");
  if (!own.empty() || !inner.empty()) file.optimizer = state_of(inner.empty() ? own : inner);
  if (!inner.empty()) split_loss_scale(file, own, true);
  imply_loss_scale(file, !inner.empty());
}

void read_optimizer_list(File& file, const H5File& h5) {
  if (!h5.is_group("/optimizer_weights")) return;
  std::vector<FileArray> arrays = read_listed(h5, "/optimizer_weights");
  if (arrays.empty()) return;
  file.optimizer = state_of(arrays);
  const bool compiled = file.keras3 && file.compile.is_object() && file.compile.at("optimizer").is_object();
  if (compiled && file.compile.at("optimizer").at("config").contains("loss_scale"))
    split_loss_scale(file, arrays, false);
}

void refuse_architecture(const ReadOptions& options, const std::string& path) {
  if (!options.architecture.empty())
    throw Error(ErrorKind::Usage, path, "has a configuration of its own, so that it needs no architecture beside.");
}

File read_zip(const std::string& path, const ReadOptions& options) {
  refuse_architecture(options, path);
  const ZipFile zip = ZipFile::open(path);
  File file;
  file.path = path;
  file.format = ".keras";
  const Architecture a = of_zip(zip, path);
  file.model = model_of(a.config, a.by, options);
  if (!zip.contains("model.weights.h5"))
    throw Error(ErrorKind::Unsupported, path, "this .keras file has no member 'model.weights.h5'.",
                "Only weights in HDF5 are read.");
  const bool verified = zip.find("model.weights.h5")->size <= kVerified;
  if (verified) zip.verify("model.weights.h5");
  const H5File h5(path + ": model.weights.h5", zip.read("model.weights.h5"));
  if (!verified) h5.probe();
  attach_tree(file.model, h5, "/", path);
  attach_vocabularies(file.model, zip);
  finish(file, a, options);
  read_optimizer_tree(file, h5);
  find_floatx(file);
  return file;
}

File read_h5(const std::string& path, const ReadOptions& options) {
  const H5File h5 = H5File::open(path);
  File file;
  file.path = path;
  file.format = ".h5";
  const std::string weights = h5.is_group("/model_weights") ? "/model_weights" : "/";
  std::optional<Architecture> a = of_h5(h5, path);
  file.tree = false;
  if (a) {
    refuse_architecture(options, path);
  } else {
    file.tree = h5.is_group("/layers") || h5.is_group("/_layer_checkpoint_dependencies");
    file.weights_only = true;
    const bool has_weights = file.tree || h5.has_attribute(weights, "layer_names");
    if (!has_weights)
      throw Error(ErrorKind::BadFile, path, "this HDF5 file is not a Keras model: it has no attribute 'model_config'.");
    if (options.architecture.empty())
      throw Error(ErrorKind::BadFile, path,
                  "this file holds a model's weights but not its configuration (no attribute 'model_config').",
                  "Give the configuration beside: --architecture (in Python architecture=) with what model.to_json() "
                  "wrote, or with a .keras or .h5 file of the same model.");
    a = given_architecture(options.architecture, h5, file.tree);
  }
  file.model = model_of(a->config, a->by, options);
  if (file.tree)
    attach_tree(file.model, h5, "/", path);
  else
    attach_flat(file.model, h5, weights, path, file.weights_only);
  finish(file, *a, options);
  if (file.tree)
    read_optimizer_tree(file, h5);
  else
    read_optimizer_list(file, h5);
  imply_loss_scale(file, false);
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
    if (is_zip(start)) return read_zip(path, options);
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
