// A layer's config, of any version, brought to Keras 3's words (canonical.h).
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "frontend/keras/canonical.h"
#include "frontend/keras/keras1.h"

namespace midstream::keras {
namespace {

std::string dtype_name(const json& dtype) {
  if (dtype.is_string()) return dtype.get<std::string>();
  if (dtype.is_object()) {
    if (const std::string own = user_class(dtype); !own.empty()) return own;
    // {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}; Keras 2: "Policy"
    const json& config = dtype.contains("config") ? dtype.at("config") : dtype;
    if (config.is_string()) return config.get<std::string>();
    if (config.is_object() && config.contains("name") && config.at("name").is_string()) return config.at("name");
    if (config.is_object() && config.contains("dtype") && config.at("dtype").is_string()) return config.at("dtype");
  }
  return "float32";
}

// Entries without influence on results, or about a shape that the inputs tell.
bool is_noise(const std::string& class_name, const std::string& key, const json& value) {
  static const std::set<std::string> always{
      "batch_input_shape", "input_shape",     "input_length", "build_input_shape", "implementation", "consume_less",
      "autocast",          "registered_name", "module",       "num_constants",     "input_dtype",    "query_shape",
      "key_shape",         "value_shape"};
  if (class_name == "InputLayer" || class_name == "Lambda") return false;
  if (key == "implementation" && class_name.starts_with("LocallyConnected"))
    return false;  // says which arrays there are
  if (always.contains(key)) return true;
  if (key == "input_dim") return class_name != "Embedding" && class_name != "ReversibleEmbedding";
  static const std::set<std::string> if_off{"time_major",        "sparse",       "ragged", "quantization_config",
                                            "lora_rank",         "synchronized", "renorm", "activity_regularizer",
                                            "virtual_batch_size"};
  const bool off = value.is_null() || (value.is_boolean() && !value.get<bool>());
  if (if_off.contains(key) && off) return true;
  if (class_name == "Embedding" && key == "dropout" && value == 0) return true;  // Keras 1's
  if (key == "groups" && class_name.starts_with("Depthwise")) return true;
  if (key == "filters" && class_name.starts_with("Depthwise")) return true;
  return key == "groups" && value == 1 && class_name.starts_with("Separable");
}

// ["ListWrapper", [3]] and [3] -> 3
json single(const json& v) {
  if (v.is_array() && v.size() == 2 && v[0].is_string()) return single(v[1]);
  if (v.is_array() && v.size() == 1) return v[0];
  return v;
}

void batch_normalization(json& c, const json& original, const WrittenBy& by) {
  if (c.contains("axis")) c["axis"] = single(c["axis"]);
  if (!c.contains("renorm")) {
    c.erase("renorm_clipping");
    c.erase("renorm_momentum");
  }
  if (by.keras3()) {
    c["variance"] = "biased";
    return;
  }
  if (by.tensorflow) {
    // tf.keras: fused for rank 4 and 5 unless the options or the dtype forbid it; the fused kernel stores n / (n - 1).
    c["variance"] = "biased";
    const bool plain = c.value("renorm", false) || c.contains("virtual_batch_size") ||
                       original.value("synchronized", false) || c.value("dtype", "float32") == "float64";
    if (!plain) c["fused_unbiased_if_rank"] = {4, 5};
    return;
  }
  c["variance"] = "sample";
  c["frozen_runs_inference"] = false;
}

void input_layer(json& c, const json& original) {
  json shape;
  for (const char* key : {"batch_shape", "batch_input_shape"})
    if (original.contains(key) && !original.at(key).is_null()) shape = original.at(key);
  if (shape.is_object() && shape.contains("items")) shape = shape.at("items");  // TensorShape of tf.keras 2.4
  if (shape.is_null() && original.contains("input_shape") && original.at("input_shape").is_array()) {
    shape = json::array({nullptr});
    for (const json& d : original.at("input_shape")) shape.push_back(d);
  }
  json kept = {{"name", c.value("name", "input")}, {"batch_shape", shape}, {"trainable", true}};
  json dtype = original.value("dtype", json(nullptr));
  if (dtype.is_null()) dtype = original.value("input_dtype", json(nullptr));
  kept["dtype"] = dtype.is_null() ? std::string("float32") : dtype_name(dtype);
  for (const char* flag : {"sparse", "ragged"})
    if (original.contains(flag) && original.at(flag).is_boolean() && original.at(flag).get<bool>()) kept[flag] = true;
  c = kept;
}

// Layers whose kernels Theano and Keras 1 keep otherwise.
bool is_convolution(const std::string& class_name) {
  static const std::set<std::string> names{"Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D"};
  return names.contains(class_name);
}

bool is_random(const std::string& class_name) {
  static const std::set<std::string> names{"Dropout",       "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
                                           "GaussianNoise", "GaussianDropout",  "AlphaDropout"};
  return names.contains(class_name);
}

void by_class(const std::string& class_name, json& c, const json& original, const WrittenBy& by) {
  if (class_name == "BatchNormalization") batch_normalization(c, original, by);
  if (class_name == "InputLayer") input_layer(c, original);
  if ((class_name == "GRU" || class_name == "GRUCell") && !c.contains("reset_after"))
    c["reset_after"] = by.keras3();  // before the entry existed there was only the old way
  if (class_name == "LeakyReLU" && c.contains("alpha")) {
    c["negative_slope"] = c["alpha"];
    c.erase("alpha");
  }
  if (is_convolution(class_name)) {
    if (by.backend == "theano") c["kernel_flipped"] = true;
    if (by.major == 1 && class_name == "Conv1D")
      c["kernel_layout"] = "k1io";
    else if (by.major == 1 && c.value("data_format", std::string()) == "channels_first")
      c["kernel_layout"] = "oihw";
    else if (by.major == 1 && class_name == "Conv2DTranspose")
      c["kernel_layout"] = "hwio";
  }
  if (by.major == 1 && (class_name == "LSTM" || class_name == "GRU" || class_name == "ConvLSTM2D"))
    c["gates_apart"] = true;
  // A generator object instead of a number.
  if (c.contains("seed") && c["seed"].is_object())
    c["seed"] = c["seed"].value("config", json::object()).value("seed", json());
  if (!by.keras3() && (is_random(class_name) || c.contains("seed"))) c["seed"] = nullptr;
}

}  // namespace

bool is_model_class(const std::string& class_name) {
  return class_name == "Functional" || class_name == "Sequential" || class_name == "Model";
}

// keras.ops in a functional model. An .h5 file does not name the module, but only layers can be trained or not.
static bool is_operation(const json& layer) {
  const std::string module = layer.contains("module") && layer.at("module").is_string() ? layer.at("module") : "";
  if (module.find(".ops.") != std::string::npos) return true;
  const json config = layer.value("config", json());
  return module.empty() && layer.contains("inbound_nodes") && config.is_object() && !config.contains("trainable") &&
         layer.at("class_name") != "InputLayer" && !config.contains("layers");
}

std::string canonical_class(const json& layer, const WrittenBy& by) {
  if (const std::string own = user_class(layer); !own.empty()) return own;
  std::string name = layer.at("class_name").get<std::string>();
  if (by.keras3() && is_operation(layer)) return "ops." + name;
  if (name == "Model") return "Functional";
  static const std::map<std::string, std::string> renamed{{"BatchNormalizationV1", "BatchNormalization"},
                                                          {"BatchNormalizationV2", "BatchNormalization"},
                                                          {"GroupQueryAttention", "GroupedQueryAttention"},
                                                          {"SyncBatchNormalization", "BatchNormalization"}};
  if (auto it = renamed.find(name); it != renamed.end()) return it->second;
  if (name == "Merge" && !by.keras3()) return merge_class(layer.value("config", json()));
  if (!by.keras3()) return keras1_class(name);
  return name;
}

json canonical_layer_config(const std::string& class_name, const json& config, const WrittenBy& by) {
  if (!config.is_object()) return json::object();
  if (class_name.find('>') != std::string::npos) {  // the user's: nobody else knows what its entries mean
    json own = config;
    own["dtype"] = config.value("dtype", json()).is_null() ? std::string("float32") : dtype_name(config.at("dtype"));
    if (!own.contains("trainable") || !own["trainable"].is_boolean()) own["trainable"] = true;
    return own;
  }
  json c = json::object();
  const json words = by.keras3() ? config : keras1_config(class_name, config);
  for (const auto& [key, value] : words.items()) {
    if (is_noise(class_name, key, value) || key == "dtype") continue;
    const std::string k = key;
    if (k == "activation" || k.ends_with("_activation"))
      c[k] = canonical_activation(value, by);
    else if (k.ends_with("_regularizer") || k == "activity_regularizer")
      c[k] = canonical_regularizer(value);
    else if (k.ends_with("_constraint"))
      c[k] = canonical_constraint(value);
    else if (class_name == "Lambda")
      c[k] = value;
    else
      c[k] = canonical_object(json{{k, value}}, by).at(k);
  }
  if (c.contains("activity_regularizer") && c["activity_regularizer"].is_null()) c.erase("activity_regularizer");
  json dtype = words.value("dtype", json(nullptr));
  // An operation's dtype is that of its result: none is what follows from its arguments.
  if (!dtype.is_null() || !class_name.starts_with("ops."))
    c["dtype"] = dtype.is_null() ? std::string("float32") : dtype_name(dtype);
  if (!c.contains("trainable") || !c["trainable"].is_boolean()) c["trainable"] = true;
  by_class(class_name, c, words, by);
  return c;
}

}  // namespace midstream::keras
