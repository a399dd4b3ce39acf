// See inbound.h. Keras 3: {"args": [...], "kwargs": {...}} with {"class_name": "__keras_tensor__"} for tensors.
// Keras 1 and 2: a nest of [layer, node, tensor] or [layer, node, tensor, kwargs] for the first argument; kwargs hold
// tensors as [layer, node, tensor] too, and constants as ["_CONSTANT_VALUE", -1, value].
#include "frontend/keras/inbound.h"

#include "base/error.h"

namespace midstream::keras {
namespace {

struct Reader {
  const std::set<std::string>& layers;
  std::string layer;

  [[noreturn]] void bad(const json& v) const {
    throw Error(ErrorKind::BadFile, layer,
                "its inbound_nodes are not of a known form: " + v.dump().substr(0, 120) + ".");
  }

  CallArg keras3(const json& v) const {
    if (v.is_object() && v.contains("class_name")) {
      const json config = v.value("config", json(nullptr));
      if (v.at("class_name") == "__keras_tensor__") return {read_tensor_ref(config.at("keras_history"), layer)};
      if (v.at("class_name") == "__tuple__") return keras3(config.is_object() ? config.value("value", json()) : config);
      return {v};
    }
    return nest(v, [this](const json& item) { return keras3(item); });
  }

  template <class F>
  CallArg nest(const json& v, F&& item) const {
    if (v.is_array()) {
      std::vector<CallArg> list;
      bool tensors = false;
      for (const json& x : v) {
        list.push_back(item(x));
        tensors |= !std::holds_alternative<json>(list.back().value);
      }
      if (tensors) return {std::move(list)};
      return {v};
    }
    if (v.is_object()) {
      std::map<std::string, CallArg> map;
      bool tensors = false;
      for (const auto& [key, x] : v.items()) tensors |= !std::holds_alternative<json>((map[key] = item(x)).value);
      if (tensors) return {std::move(map)};
    }
    return {v};
  }

  bool is_ref(const json& v, size_t size) const {
    return v.is_array() && v.size() == size && v[0].is_string() && v[1].is_number_integer() &&
           (v[1] == -1 || v[2].is_number_integer());
  }
  CallArg ref_or_constant(const json& v) const {
    if (v[0] == "_CONSTANT_VALUE") return {v[2]};
    return {read_tensor_ref(v, layer)};
  }
  // The first argument: leaves with their call's kwargs.
  CallArg keras2_input(const json& v, json& kwargs) const {
    if (is_ref(v, 4) || is_ref(v, 3)) {
      if (v.size() == 4 && v[3].is_object()) kwargs.update(v[3]);
      return ref_or_constant(v);
    }
    return nest(v, [&](const json& item) { return keras2_input(item, kwargs); });
  }
  CallArg keras2_kwarg(const json& v) const {
    if (is_ref(v, 3) && (v[0] == "_CONSTANT_VALUE" || layers.contains(v[0].get<std::string>())))
      return ref_or_constant(v);
    return nest(v, [this](const json& item) { return keras2_kwarg(item); });
  }

  LayerCall keras2_call(const json& node) const {
    LayerCall call;
    json kwargs = json::object();
    CallArg input = keras2_input(node, kwargs);
    // A layer with one tensor is written as a list of one.
    if (auto* list = std::get_if<std::vector<CallArg>>(&input.value); list && list->size() == 1) {
      CallArg one = std::move((*list)[0]);
      input = std::move(one);
    }
    call.args.push_back(std::move(input));
    for (const auto& [key, value] : kwargs.items()) call.kwargs[key] = keras2_kwarg(value);
    return call;
  }
};

}  // namespace

TensorRef read_tensor_ref(const json& ref, const std::string& where) {
  if (!ref.is_array() || ref.size() < 3 || !ref[0].is_string() || !ref[1].is_number_integer() ||
      !ref[2].is_number_integer())
    throw Error(ErrorKind::BadFile, where,
                "a tensor is given as [layer, node, tensor], seen: " + ref.dump().substr(0, 120) + ".");
  return {ref[0].get<std::string>(), ref[1].get<int>(), ref[2].get<int>()};
}

std::vector<LayerCall> read_inbound_nodes(const json& nodes, const std::set<std::string>& layer_names,
                                          const std::string& layer) {
  const Reader reader{layer_names, layer};
  std::vector<LayerCall> out;
  if (nodes.is_null()) return out;
  if (!nodes.is_array()) reader.bad(nodes);
  for (const json& node : nodes) {
    if (node.is_object() && node.contains("args")) {
      LayerCall call;
      for (const json& arg : node.at("args")) call.args.push_back(reader.keras3(arg));
      const json kwargs = node.value("kwargs", json::object());
      for (const auto& [key, value] : kwargs.items()) call.kwargs[key] = reader.keras3(value);
      out.push_back(std::move(call));
    } else if (node.is_array() || node.is_object()) {
      if (node.empty()) continue;
      out.push_back(reader.keras2_call(node));
    } else {
      reader.bad(node);
    }
  }
  return out;
}

}  // namespace midstream::keras
