// The config of a Functional or Sequential model -> Model: layers, calls, inputs and outputs.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "frontend/keras/canonical.h"
#include "frontend/keras/inbound.h"

namespace midstream::keras {
namespace {

std::string layer_name(const json& layer) {
  if (layer.contains("name") && layer.at("name").is_string()) return layer.at("name");
  if (layer.contains("config") && layer.at("config").is_object()) {
    const json& config = layer.at("config");
    if (config.contains("name") && config.at("name").is_string()) return config.at("name");
  }
  return to_snake_case(layer.at("class_name").get<std::string>());
}

const json& required(const json& config, const char* key, const std::string& where) {
  if (!config.is_object() || !config.contains(key))
    throw Error(ErrorKind::BadFile, where, fmt::format("the model's config has no '{}'.", key));
  return config.at(key);
}

// Keras flattens lists in order and dicts by sorted key. `keys` gets the innermost dict key or "".
void flatten_refs(const json& v, const std::string& where, std::vector<TensorRef>& refs, std::vector<std::string>& keys,
                  const std::string& key = {}) {
  const bool is_ref = v.is_array() && v.size() >= 3 && v[0].is_string() && v[1].is_number_integer();
  if (is_ref) {
    refs.push_back(read_tensor_ref(v, where));
    keys.push_back(key);
  } else if (v.is_array()) {
    for (const json& item : v) flatten_refs(item, where, refs, keys, key);
  } else if (v.is_object() && v.contains("class_name") && v.contains("config")) {  // __tuple__
    flatten_refs(v.at("config").is_object() ? v.at("config").value("value", json()) : v.at("config"), where, refs, keys,
                 key);
  } else if (v.is_object()) {
    for (const auto& [name, item] : v.items()) flatten_refs(item, where, refs, keys, name);  // nlohmann sorts keys
  }
}

// tf.keras counts a nested model's own building as its node 0, Keras 3 does not. All nodes in the file are used, so the
// smallest reference tells.
void rebase_nodes(Model& model) {
  std::map<std::string, int> smallest;
  auto note = [&](const TensorRef& r) {
    auto [it, is_new] = smallest.emplace(r.layer, r.node);
    it->second = std::min(it->second, r.node);
  };
  auto each = [&](auto&& f) {
    for (SourceLayer& layer : model.layers)
      for (LayerCall& call : layer.calls) {
        for (CallArg& arg : call.args) for_each_ref(arg, f);
        for (auto& [key, arg] : call.kwargs) for_each_ref(arg, f);
      }
    for (TensorRef& r : model.outputs) f(r);
  };
  each(note);
  each([&](TensorRef& r) { r.node -= smallest.at(r.layer); });
}

void check_refs(const Model& model, const std::string& where) {
  std::map<std::string, const SourceLayer*> by_name;
  for (const SourceLayer& layer : model.layers)
    if (!by_name.emplace(layer.name, &layer).second)
      throw Error(ErrorKind::BadFile, where, fmt::format("two layers are called '{}'.", layer.name));
  auto check = [&](const TensorRef& r) {
    auto it = by_name.find(r.layer);
    if (it == by_name.end())
      throw Error(ErrorKind::BadFile, where,
                  fmt::format("a tensor of layer '{}' is used, but there is no such layer.", r.layer));
    const size_t calls = it->second->class_name == "InputLayer" ? 1 : it->second->calls.size();
    if (r.node < 0 || static_cast<size_t>(r.node) >= calls || r.tensor < 0)
      throw Error(
          ErrorKind::BadFile, where,
          fmt::format("call {} of layer '{}' is used, but the file has {} of its calls.", r.node, r.layer, calls));
  };
  for (const SourceLayer& layer : model.layers)
    for (const LayerCall& call : layer.calls) {
      for (CallArg arg : call.args) for_each_ref(arg, check);
      for (auto [key, arg] : call.kwargs) for_each_ref(arg, check);
    }
  for (const TensorRef& r : model.inputs) check(r);
  for (const TensorRef& r : model.outputs) check(r);
}

Model read_functional(const json& config, const std::string& name, const WrittenBy& by) {
  Model model;
  model.name = name;
  model.class_name = "Functional";
  const json& layers = required(config, "layers", name);
  std::set<std::string> names;
  for (const json& layer : layers) names.insert(layer_name(layer));
  for (const json& layer : layers) {
    model.layers.push_back(canonical_layer(layer, by));
    const json nodes = layer.value("inbound_nodes", json::array());
    if (model.layers.back().class_name != "InputLayer")
      model.layers.back().calls = read_inbound_nodes(nodes, names, model.layers.back().name);
    respell_operation(model.layers.back());
  }
  std::vector<std::string> keys;
  flatten_refs(required(config, "input_layers", name), name, model.inputs, keys);
  for (const TensorRef& r : model.inputs) model.input_names.push_back(r.layer);
  keys.clear();
  flatten_refs(required(config, "output_layers", name), name, model.outputs, keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    std::string output = keys[i].empty() ? model.outputs[i].layer : keys[i];
    // Keras numbers outputs of the same layer: dense, dense_1.
    int count = 0;
    const std::string base = output;
    while (std::find(model.output_names.begin(), model.output_names.end(), output) != model.output_names.end())
      output = fmt::format("{}_{}", base, ++count);
    model.output_names.push_back(output);
  }
  rebase_nodes(model);
  return model;
}

// The shape of what a layer takes, where its config tells: a layer's own entry, or that of a model's first layer.
json first_shape(const json& layer) {
  const json& config = layer.contains("config") ? layer.at("config") : layer;
  if (config.is_array()) return config.empty() ? json() : first_shape(config[0]);
  if (!config.is_object()) return {};
  for (const char* key : {"batch_input_shape", "batch_shape"})
    if (config.contains(key) && config.at(key).is_array()) return config.at(key);
  if (config.contains("layers") && config.at("layers").is_array() && !config.at("layers").empty())
    return first_shape(config.at("layers")[0]);
  if (config.contains("layer") && config.at("layer").is_object()) return first_shape(config.at("layer"));
  if (config.contains("input_dim") && config.at("input_dim").is_number_integer() && !config.contains("output_dim"))
    return json::array({nullptr, config.at("input_dim")});
  return {};
}

json build_shape(const json& layer) {
  if (layer.contains("build_config") && layer.at("build_config").is_object()) {
    json shape = layer.at("build_config").value("input_shape", json());
    if (shape.is_array() && !shape.empty() && !shape[0].is_array()) return shape;
  }
  return {};
}

SourceLayer made_input(const json& config, const json& first, const WrittenBy& by) {
  json shape = first_shape(first);
  if (shape.is_null() && config.is_object()) shape = config.value("build_input_shape", json());
  if (shape.is_null()) shape = build_shape(first);
  if (shape.is_array() && !shape.empty())
    shape[0] = shape[0].is_number() && first_shape(first).is_null() ? json() : shape[0];
  const json& inner = first.contains("config") ? first.at("config") : first;
  json dtype = inner.is_object() ? inner.value("input_dtype", json()) : json();
  json input = {{"name", layer_name(first) + "_input"},
                {"batch_shape", shape},
                {"dtype", dtype.is_string() ? dtype : json("float32")}};
  if (dtype.is_null() && inner.is_object() && inner.contains("dtype") && inner.at("dtype").is_string() &&
      inner.at("dtype") == "float64")
    input["dtype"] = "float64";
  SourceLayer out;
  out.name = input["name"];
  out.class_name = "InputLayer";
  out.config = canonical_layer_config("InputLayer", input, by);
  return out;
}

Model read_sequential(const json& config, const json& whole, const std::string& name, const WrittenBy& by) {
  Model model;
  model.name = name;
  model.class_name = "Sequential";
  const json& layers = config.is_array() ? config : required(config, "layers", name);  // a bare list up to Keras 2.2.2
  if (layers.empty()) throw Error(ErrorKind::BadFile, name, "this Sequential model has no layers.");
  if (layers[0].at("class_name") != "InputLayer") {
    SourceLayer input = made_input(config, layers[0], by);
    if (input.config["batch_shape"].is_null()) input.config["batch_shape"] = build_shape(whole);
    model.layers.push_back(std::move(input));
  }
  for (const json& layer : layers) {
    model.layers.push_back(canonical_layer(layer, by));
    if (model.layers.size() > 1)
      model.layers.back().calls = {
          LayerCall{.args = {CallArg{TensorRef{model.layers[model.layers.size() - 2].name, 0, 0}}}}};
  }
  model.inputs = {{model.layers.front().name, 0, 0}};
  model.input_names = {model.layers.front().name};
  model.outputs = {{model.layers.back().name, 0, 0}};
  model.output_names = {model.layers.back().name};
  return model;
}

}  // namespace

SourceLayer canonical_layer(const json& layer, const WrittenBy& by) {
  if (!layer.is_object() || !layer.contains("class_name") || !layer.at("class_name").is_string())
    throw Error(ErrorKind::BadFile, "config", "a layer has no class_name: " + layer.dump().substr(0, 120) + ".");
  SourceLayer out;
  out.name = layer_name(layer);
  out.class_name = canonical_class(layer, by);
  out.registered_name = user_class(layer);
  // Without a module the registered name alone tells; with one, Keras' own layers may be registered too
  // ("Custom>CustomScaleLayer" of tf_keras.applications).
  if (const json registered = layer.value("registered_name", json());
      registered.is_string() && !layer.contains("module"))
    if (const std::string name = registered; name.find('>') != std::string::npos) out.registered_name = name;
  if (!out.registered_name.empty()) {
    const std::string written = layer.at("class_name");  // tf_keras writes "package>Name" here
    out.own_class = written.substr(written.rfind('>') + 1);
  }
  out.build_config = layer.value("build_config", json());
  if (is_model_class(out.class_name)) {  // no copy of its config: each level of nested models would copy all below it
    out.model = std::make_shared<Model>(canonical_model(layer, by));
    out.config = {{"name", out.name}, {"trainable", out.model->trainable}};
  } else {
    out.config = canonical_layer_config(out.class_name, layer.value("config", json::object()), by);
    out.config["name"] = out.name;
  }
  return out;
}

namespace {

bool is_functional(const json& config) {
  return config.is_object() && config.contains("input_layers") && config.contains("layers");
}

// Keras writes "layers" alone of Sequential models; of a class that was built by calls it writes none.
bool is_sequential(const json& config) {
  return config.is_object() && config.contains("layers") && config.at("layers").is_array() &&
         !config.contains("input_layers");
}

}  // namespace

void make_plain(json& model, const WrittenBy& by) {
  if (!model.is_object() || !model.contains("config") || is_model_class(canonical_class(model, by))) return;
  const json& config = model.at("config");
  if (!is_functional(config) && !is_sequential(config)) return;
  model["class_name"] = is_functional(config) ? "Functional" : "Sequential";
  model.erase("module");
  model.erase("registered_name");
}

Model canonical_model(const json& whole, const WrittenBy& by) {
  const std::string class_name = canonical_class(whole, by);
  const json& config = whole.contains("config") ? whole.at("config") : whole;
  const std::string name = layer_name(whole);
  const bool functional = is_functional(config), own = !is_model_class(class_name);
  const bool sequential = class_name == "Sequential" || (own && is_sequential(config));
  if (!functional && !sequential)
    throw Error(ErrorKind::Unsupported, name,
                fmt::format("'{}' is a subclassed model: the file holds its weights, but not its layers' connections.",
                            class_name),
                "Save it as a Functional model, or export it as SavedModel, which holds a graph.");
  // A class of the user's may compute and train in its own way: call() and train_step() are code, which no file holds.
  if (own)
    throw Error(
        ErrorKind::Unsupported, name,
        fmt::format("'{}' is a class of your own, whose call() and train_step() are not in the file.", class_name),
        "If it computes and trains with the compiled loss as Keras' own models do, say `midstream train --train-step "
        "ignore` (in Python resume(..., train_step=\"ignore\")), or save the plain model: "
        "keras.Model(model.inputs, model.outputs), compiled with the same optimizer object.");
  Model model = functional ? read_functional(config, name, by) : read_sequential(config, whole, name, by);
  if (config.is_object() && config.contains("trainable") && config.at("trainable").is_boolean())
    model.trainable = config.at("trainable");
  check_refs(model, name);
  return model;
}

}  // namespace midstream::keras
