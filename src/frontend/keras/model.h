// A Keras file as written, brought to one canonical form: which layers there are, how they are connected, what each
// holds. Nothing is interpreted: what a layer *means* is lower/keras's business. The version of Keras that wrote the
// file is resolved here, once: configs leave this room with explicit entries (see canonical.h) and no later code asks
// for a version.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/array.h"

namespace midstream::keras {

using json = nlohmann::json;

// The output `tensor` of call `node` of layer `layer` (by name) of the same model.
struct TensorRef {
  std::string layer;
  int node = 0;
  int tensor = 0;
  friend auto operator<=>(const TensorRef&, const TensorRef&) = default;
};

// A call's argument: a tensor, a nest of arguments, or plain data (None, numbers, strings).
struct CallArg {
  std::variant<TensorRef, std::vector<CallArg>, std::map<std::string, CallArg>, json> value;
};
struct LayerCall {
  std::vector<CallArg> args;
  std::map<std::string, CallArg> kwargs;
};

// One array of the file.
struct FileArray {
  std::string source;  // where it is, in the container's terms (HDF5 path): for write-back
  std::string name;    // as the file calls it ("conv/kernel:0"); empty where the file has no names (.keras)
  Array array;
};

// The weights of a layer as the file groups them. Keras 3 files (.keras, .weights.h5): a tree, `vars` in creation order
// and children by attribute name ("cell", "query_dense"). Keras 2 files and every whole-model .h5: `flat`, all arrays
// of the top-level layer in Keras' order (trainable ones first, then the others); nested layers find theirs in the list
// of the outermost layer.
struct WeightTree {
  bool flat = false;
  std::vector<FileArray> vars;
  std::map<std::string, WeightTree> children;
};

struct Model;

// A layer as the file has it. (What a lowering sees of it is keras::Layer, lower/keras/layer.h.)
struct SourceLayer {
  std::string name;
  std::string class_name;       // "Conv2D"; canonical ("Functional" for "Model", "Conv2D" for "Convolution2D")
  std::string registered_name;  // "MyPackage>MyLayer"; empty for built-in ones
  std::string own_class;        // of such a class its Python name, "MyLayer", by which files name its group of weights
  json config;  // canonical; inner layers (Bidirectional's, TimeDistributed's) as {"class_name", "config"}
  json build_config;
  std::vector<LayerCall> calls;
  std::shared_ptr<Model> model;               // Functional and Sequential used as a layer
  std::shared_ptr<const WeightTree> weights;  // null: in the list of the enclosing layer, or none in the file
};

// Nested structure of a model's inputs and outputs: one tensor, a list, or a dict, as the file has it.
struct Model {
  std::string name;
  std::string class_name;  // "Functional", "Sequential"
  bool trainable = true;
  std::vector<SourceLayer> layers;  // in the file's order, InputLayers included (Sequential: one is made if absent)
  std::vector<TensorRef> inputs;    // flattened, in Keras' order
  std::vector<std::string> input_names;
  std::vector<TensorRef> outputs;         // flattened
  std::vector<std::string> output_names;  // Keras' names of the outputs: layer names, or the keys of a dict
};

// Optimizer state in canonical form, whatever the file's slot order was.
struct OptimizerState {
  std::optional<int64_t> iterations;  // batches seen, as the file has it (Keras 3: also with gradient accumulation)
  std::optional<FileArray> iterations_array, learning_rate;
  // weight array's `source` -> slot name ("momentum", "velocity", ...) -> array
  std::map<std::string, std::map<std::string, FileArray>> slots;
  std::map<std::string, FileArray> scalars;  // one for all weights, by Keras 3's name: Nadam's "u_product"
  std::vector<FileArray> all;                // every array, in the file's order; of the inner optimizer where
                                             // a LossScaleOptimizer is around it
  // Keras 3's LossScaleOptimizer: its arrays, and two of them by name.
  std::vector<FileArray> wrapper;
  std::optional<FileArray> step_counter, dynamic_scale;
  // The file has some arrays twice: the place of a copy, and of what it is a copy of.
  std::vector<std::pair<std::string, std::string>> copies;
};

// compile() as the file has it, canonical: {"optimizer": {"class_name", "config"}, "loss": ..., "loss_weights": ...,
// "metrics": ..., "weighted_metrics": ...}; null when the model was never compiled. optimizer config entries carry the
// semantics of the version: "slots": "merged_gradients": bool (Keras 2 merges duplicate embedding rows), ...
struct File {
  std::string path;
  std::string format;   // ".keras", ".h5"
  std::string version;  // "3.15.0", "2.4.0", "" when unknown
  bool keras3 = true;   // semantics of Keras 3 (else tf_keras / Keras 2)
  std::string floatx;   // default dtype of weights
  Model model;
  json compile;
  std::optional<OptimizerState> optimizer;
  bool tree = true;              // weights in a tree of groups, as Keras 3 has them; false: in flat lists
  bool weights_only = false;     // the file has no configuration of its own (ReadOptions::architecture)
  bool optimizer_given = false;  // by ReadOptions, not by a file
};

struct ReadOptions {
  // A model of a class of the user's is read as the plain Functional or Sequential model that its config describes:
  // its call() and train_step(), which no file holds, are passed over.
  bool ignore_train_step = false;
  // A .json of to_json(), or a .keras or .h5 of the same model: the configuration for a file of weights alone.
  std::string architecture = {};
  // Names, as compile() takes them: what a file does not say. A loss overrules the file's; an optimizer is for files
  // without one. 0: as the file has it, or the optimizer's default.
  std::string loss = {}, optimizer = {};
  double learning_rate = 0;
};

// Opens any .keras, .h5 or .weights.h5 file; throws Error(BadFile / Unsupported / Mismatch / Usage).
File read(const std::string& path, const ReadOptions& options = {});

// The same model computing in "float32" or "float64": every layer whose policy is the file's floatx gets the new one.
// The arrays stay as the file has them and are cast where they are bound to variables, as Keras casts them. What else
// the version and the dtype decided (BatchNormalization's fused kernel) stays as it was. Throws Error(Usage) for
// another dtype, Error(Unsupported) for mixed precision.
void set_floatx(File& file, const std::string& dtype);

}  // namespace midstream::keras
