// See lower_model.h. Layers run as soon as their inputs are there, in the file's order, which is Keras' own order of
// depth; where it matters which call comes first (a layer is called more than once, or takes masks off its inputs),
// exactly in the order in which Keras calls them.
#include "lower/keras/lower_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "frontend/keras/weights.h"
#include "lower/keras/bind_weights.h"
#include "lower/keras/call_order.h"
#include "lower/keras/operation_args.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "/" + name;
}

// The values that the calls of one model have given so far.
using Known = std::map<std::pair<std::string, int>, Tensors>;  // layer, node -> outputs

struct ArgReader {
  Builder& b;
  const Known& known;
  const LayerHost& host;
  bool ready = true;

  void tensors(const CallArg& arg, Tensors& out) {
    if (auto* ref = std::get_if<TensorRef>(&arg.value)) {
      auto it = known.find({ref->layer, ref->node});
      if (it == known.end()) {
        ready = false;
      } else if (static_cast<size_t>(ref->tensor) >= it->second.size()) {
        throw Error(ErrorKind::Mismatch, ref->layer,
                    fmt::format("its output {} is used, but it has {} output(s).", ref->tensor, it->second.size()));
      } else {
        out.push_back(host.as_it_is_now(it->second[static_cast<size_t>(ref->tensor)]));
      }
    } else if (auto* list = std::get_if<std::vector<CallArg>>(&arg.value)) {
      for (const CallArg& item : *list) {
        tensors(item, out);
        // An array beside tensors: Concatenate()([x, constant]).
        const auto* data = std::get_if<json>(&item.value);
        if (data && (data->is_object() || data->is_array()))
          if (const auto literal = literal_of(*data))
            out.push_back({constant_of(b, literal->value, literal->dtype), {}});
      }
    } else if (auto* map = std::get_if<std::map<std::string, CallArg>>(&arg.value)) {
      for (const auto& [key, item] : *map) tensors(item, out);
    }
  }

  std::vector<ListItem> items(const std::vector<CallArg>& list) {
    std::vector<ListItem> out;
    for (const CallArg& item : list) {
      Tensors inner;
      if (const auto* data = std::get_if<json>(&item.value))
        out.push_back({{}, *data});
      else
        for (tensors(item, inner); const Tensor& t : inner) out.push_back({t, {}});
    }
    return out;
  }

  void options(const std::string& key, const CallArg& arg, Call& call) {
    if (auto* data = std::get_if<json>(&arg.value); data && !data->is_null()) call.options[key] = *data;
    if (auto* list = std::get_if<std::vector<CallArg>>(&arg.value)) call.lists[key] = items(*list);
  }

  Call read(const LayerCall& from) {
    Call call;
    for (size_t i = 0; i < from.args.size(); ++i) {
      Tensors& out = call.args.emplace_back();
      tensors(from.args[i], out);
      options(std::to_string(i), from.args[i], call);
    }
    for (const auto& [key, arg] : from.kwargs) {
      Tensors out;
      tensors(arg, out);
      if (!out.empty()) call.kwargs[key] = std::move(out);
      options(key, arg, call);
    }
    if (!call.args.empty()) call.inputs = call.args[0];
    explicit_mask(call);
    return call;
  }

  // A mask given by hand stands for the one that came with the tensor.
  static void explicit_mask(Call& call) {
    auto it = call.kwargs.find("mask");
    if (it == call.kwargs.end()) return;
    for (size_t i = 0; i < std::min(it->second.size(), call.inputs.size()); ++i)
      call.inputs[i].mask = it->second[i].value;
    if (!call.args.empty()) call.args[0] = call.inputs;
  }
};

class ModelLowering {
 public:
  ModelLowering(Builder& b, LayerHost& host) : b_(b), host_(host) {}

  // Records of all layers, in the file's order: it is the order of weights, whatever the order of calls.
  void make_records(const Model& model, const std::string& prefix, bool trainable, LayerRecord* parent) {
    for (const SourceLayer& layer : model.layers) {
      if (layer.class_name == "InputLayer") continue;
      const std::string path = free_path(prefix, layer.name, parent);
      paths_[{prefix, layer.name}] = path;
      const bool own = trainable && (layer.model ? layer.model->trainable : layer.config.value("trainable", true));
      LayerRecord& record = host_.layer(path, layer.class_name, layer.config, own, parent);
      record.tree = layer.weights.get();
      if (layer.model) make_records(*layer.model, path, own, &record);
    }
  }

  Tensors run(const Model& model, const std::string& prefix, const Tensors& inputs) {
    Known known;
    for (size_t i = 0; i < model.inputs.size(); ++i)
      known[{model.inputs[i].layer, model.inputs[i].node}] = {as_declared(model, i, inputs.at(i))};
    const bool ordered = std::any_of(model.layers.begin(), model.layers.end(), [&](const SourceLayer& l) {
      return l.calls.size() > 1 || (host_.keras3 && registry().clears_masks.contains(l.class_name));
    });
    std::vector<size_t> done(model.layers.size(), 0);
    if (ordered) {
      for (const CallIndex& call : call_order(model)) try_call(model.layers[call.layer], prefix, call.node, known);
      return outputs(model, known);
    }
    for (bool progress = true; progress;) {
      progress = false;
      for (size_t i = 0; i < model.layers.size(); ++i) {
        const SourceLayer& layer = model.layers[i];
        while (done[i] < layer.calls.size() && try_call(layer, prefix, static_cast<int>(done[i]), known)) {
          ++done[i];
          progress = true;
        }
      }
    }
    return outputs(model, known);
  }

 private:
  // Names may hold slashes: "inner" in the model "br" and a layer "br/inner" are two.
  std::string free_path(const std::string& prefix, const std::string& name, const LayerRecord* parent) {
    const std::string wanted = joined(prefix, name);
    std::string path = wanted;
    for (int i = 2;; path = fmt::format("{}_{}", wanted, i++)) {
      const LayerRecord* taken = host_.find(path);
      if (!taken || taken->parent == parent) return path;
    }
  }

  bool try_call(const SourceLayer& layer, const std::string& prefix, int node, Known& known) {
    ArgReader reader{b_, known, host_};
    Call call = reader.read(layer.calls[static_cast<size_t>(node)]);
    if (!reader.ready) return false;
    const std::string& path = paths_.at({prefix, layer.name});
    const LayerRecord& record = *host_.find(path);
    Builder::At at(b_, {path, "keras." + layer.class_name, node});
    if (layer.model) {
      known[{layer.name, node}] = nested(*layer.model, path, call, layer.calls[static_cast<size_t>(node)]);
    } else {
      Layer view(b_, host_, path, layer.class_name, layer.config, record.trainable);
      known[{layer.name, node}] = call_layer(view, std::move(call));
    }
    return true;
  }

  Tensors nested(const Model& model, const std::string& path, const Call& call, const LayerCall& written) {
    b_.scope(path, "keras." + model.class_name);
    LayerHost::TrainingOverride override(host_, training_option(host_, call.options));
    return run(model, path, ordered_inputs(model, call, written));
  }

  // A dict of inputs goes by the names of the model's inputs.
  Tensors ordered_inputs(const Model& model, const Call& call, const LayerCall& written) {
    const auto* map =
        written.args.empty() ? nullptr : std::get_if<std::map<std::string, CallArg>>(&written.args[0].value);
    if (!map || map->size() != model.input_names.size() || call.inputs.size() != map->size()) {
      if (call.inputs.size() != model.inputs.size())
        b_.fail(ErrorKind::Mismatch, fmt::format("this model has {} inputs but is called with {}.", model.inputs.size(),
                                                 call.inputs.size()));
      return call.inputs;
    }
    Tensors out;
    for (const std::string& name : model.input_names) {
      auto it = map->find(name);
      if (it == map->end()) return call.inputs;
      out.push_back(call.inputs[static_cast<size_t>(std::distance(map->begin(), it))]);
    }
    return out;
  }

  // A model converts what it is given to the dtype that its InputLayer declares.
  Tensor as_declared(const Model& model, size_t i, Tensor t) {
    for (const SourceLayer& layer : model.layers)
      if (layer.name == model.inputs[i].layer && layer.class_name == "InputLayer")
        if (auto dtype = parse_dtype(layer.config.value("dtype", std::string("float32"))))
          if (*dtype != DType::String) t.value = b_.cast(t.value, *dtype);
    return t;
  }

  Tensors outputs(const Model& model, const Known& known) {
    ArgReader reader{b_, known, host_};
    Tensors out;
    for (const TensorRef& ref : model.outputs) reader.tensors({ref}, out);
    if (!reader.ready)
      throw Error(ErrorKind::BadFile, model.name,
                  "its layers depend on each other in a circle, so its outputs cannot be computed.");
    return out;
  }

  Builder& b_;
  LayerHost& host_;
  std::map<std::pair<std::string, std::string>, std::string> paths_;  // path of a model, name of its layer
};

// A layer that keeps states from batch to batch has one for each row; only there Keras fixes the size of a batch.
bool has_states(const json& config) {
  if (config.is_array()) return std::any_of(config.begin(), config.end(), [](const json& c) { return has_states(c); });
  if (!config.is_object()) return false;
  for (const auto& [key, value] : config.items())
    if (key == "stateful" ? value == true : has_states(value)) return true;
  return false;
}

bool has_states(const Model& model) {
  return std::any_of(model.layers.begin(), model.layers.end(),
                     [](const SourceLayer& l) { return l.model ? has_states(*l.model) : has_states(l.config); });
}

// The size of a batch that the file records (that of the first fit, or the user's batch_size) binds nobody in Keras.
Dims dims_of(const SourceLayer& input, bool any_batch) {
  const json& shape = input.config.at("batch_shape");
  if (!shape.is_array())
    throw Error(ErrorKind::Unsupported, input.name,
                "the file does not say what shape this model's input has: it was saved before it saw data.",
                "Call the model on data in Keras once, or give its first layer an input shape, and save it again.");
  Dims dims;
  for (const json& d : shape)
    dims.push_back(d.is_number_integer() && d.get<int64_t>() >= 0 ? d.get<int64_t>() : kUnknown);
  if (any_batch && !dims.empty()) dims[0] = kUnknown;
  return dims;
}

}  // namespace

Tensors model_inputs(Builder& b, const Model& model) {
  Tensors out;
  const bool any_batch = !has_states(model);
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    const auto it = std::find_if(model.layers.begin(), model.layers.end(),
                                 [&](const SourceLayer& l) { return l.name == model.inputs[i].layer; });
    if (it->class_name != "InputLayer" || it->config.contains("sparse") || it->config.contains("ragged"))
      throw Error(ErrorKind::Unsupported, it->name,
                  "sparse and ragged inputs, and inputs that are no InputLayer, have no lowering.");
    const std::string name = it->config.value("dtype", std::string("float32"));
    const auto dtype = parse_dtype(name);
    if (!dtype)
      throw Error(ErrorKind::Unsupported, it->name, fmt::format("an input of dtype '{}' cannot be a tensor.", name));
    Type type{Kind::Tensor, *dtype, dims_of(*it, any_batch)};
    const bool text = *dtype == DType::String;
    if (text) type.dtype = DType::UInt8, type.dims.push_back(kUnknown);
    out.push_back({b.input(model.input_names[i], type), {}});
    b.graph().inputs.back().text = text;
  }
  return out;
}

Tensors lower_model(Builder& b, LayerHost& host, const File& file, const Tensors& inputs) {
  refuse_unsupported(file);
  b.scope("", "keras." + file.model.class_name);
  try {
    ModelLowering lowering(b, host);
    lowering.make_records(file.model, "", file.model.trainable, nullptr);
    Tensors outputs = lowering.run(file.model, "", inputs);
    for (const Tensor& t : outputs) refuse_strings(b, t.value, "an output of the model");
    host.finish_seeds(b);
    bind_weights(host, *b.graph().variables);
    return outputs;
  } catch (const Error& e) {
    throw e.at(file.path);
  } catch (const json::exception& e) {
    throw Error(ErrorKind::BadFile, file.path,
                fmt::format("a layer's configuration is not of a known form: {}.", e.what()));
  }
}

LoweredModel lower(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables) {
  LoweredModel m;
  m.graph = std::make_unique<Graph>(variables ? std::move(variables) : std::make_shared<Variables>());
  m.graph->name = file.model.name;
  m.host = std::make_unique<LayerHost>(file.keras3);
  Builder b(*m.graph, dialect);
  m.outputs = lower_model(b, *m.host, file, model_inputs(b, file.model));
  std::vector<Output> outputs;
  for (size_t i = 0; i < m.outputs.size(); ++i) outputs.push_back({file.model.output_names[i], m.outputs[i].value});
  b.outputs(std::move(outputs));
  m.trainable = trainable_variables(*m.host, *m.graph->variables);
  return m;
}

Tensors lower_inner_model(Layer& outer, const std::string& attribute, const json& object, const Call& call) {
  auto model =
      std::make_shared<Model>(canonical_model(object, written_by(object.value("keras_version", std::string()))));
  const std::string path = outer.path + "/" + model->name;
  LayerHost& host = outer.host();
  const bool is_new = host.find(path) == nullptr;
  LayerRecord& record = host.layer(path, model->class_name, json::object(), outer.trainable && model->trainable,
                                   host.find(outer.path), attribute);
  if (is_new) {
    if (const WeightTree* tree = tree_of(record); tree && !tree->flat)
      attach_subtrees(*model, {std::shared_ptr<void>(), tree}, path);
    host.keep(model);
  }
  ModelLowering lowering(outer.b, host);
  lowering.make_records(*model, path, record.trainable, &record);
  Builder::At at(outer.b, {path, "keras." + model->class_name});
  return lowering.run(*model, path, call.inputs);
}

}  // namespace midstream::keras
