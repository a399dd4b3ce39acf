// TFOpLambda and SlicingOpLambda, the layers that tf.keras makes of TensorFlow calls between layers (x * 2, tf.concat,
// x[:, 0]), in the words of keras.ops. What is not in the table stays as it is and has no lowering.
#include <map>

#include "frontend/keras/inbound.h"

namespace midstream::keras {
namespace {

struct Spelling {
  std::string op;                                   // "ops.Mean"
  std::vector<std::string> tensors;                 // keyword arguments that follow the first positional one
  std::map<std::string, std::string> entries = {};  // keyword argument -> config entry
};

const std::map<std::string, Spelling>& spellings() {
  static const std::map<std::string, Spelling> table = [] {
    std::map<std::string, Spelling> t;
    for (const auto& [name, op] : std::map<std::string, std::string>{{"add", "ops.Add"},
                                                                     {"subtract", "ops.Subtract"},
                                                                     {"multiply", "ops.Multiply"},
                                                                     {"truediv", "ops.TrueDivide"},
                                                                     {"divide", "ops.TrueDivide"},
                                                                     {"pow", "ops.Power"},
                                                                     {"maximum", "ops.Maximum"},
                                                                     {"minimum", "ops.Minimum"},
                                                                     {"greater", "ops.Greater"},
                                                                     {"greater_equal", "ops.GreaterEqual"},
                                                                     {"less", "ops.Less"},
                                                                     {"less_equal", "ops.LessEqual"},
                                                                     {"equal", "ops.Equal"},
                                                                     {"not_equal", "ops.NotEqual"},
                                                                     {"logical_and", "ops.LogicalAnd"},
                                                                     {"logical_or", "ops.LogicalOr"}})
      t["math." + name] = {op, {"y"}};
    for (const auto& [name, op] : std::map<std::string, std::string>{{"math.negative", "ops.Negative"},
                                                                     {"math.abs", "ops.Absolute"},
                                                                     {"math.exp", "ops.Exp"},
                                                                     {"math.log", "ops.Log"},
                                                                     {"math.sqrt", "ops.Sqrt"},
                                                                     {"math.square", "ops.Square"},
                                                                     {"math.sin", "ops.Sin"},
                                                                     {"math.cos", "ops.Cos"},
                                                                     {"math.sigmoid", "ops.Sigmoid"},
                                                                     {"math.tanh", "ops.Tanh"},
                                                                     {"nn.relu", "ops.Relu"},
                                                                     {"nn.relu6", "ops.Relu6"},
                                                                     {"zeros_like", "ops.ZerosLike"},
                                                                     {"ones_like", "ops.OnesLike"},
                                                                     {"math.logical_not", "ops.LogicalNot"}})
      t[name] = {op, {}};
    t["__operators__.add"] = {"ops.Add", {"y"}};
    t["nn.softmax"] = {"ops.Softmax", {}, {{"axis", "axis"}}};
    for (const auto& [name, op] : std::map<std::string, std::string>{{"reduce_mean", "ops.Mean"},
                                                                     {"reduce_sum", "ops.Sum"},
                                                                     {"reduce_max", "ops.Max"},
                                                                     {"reduce_min", "ops.Min"},
                                                                     {"reduce_any", "ops.Any"},
                                                                     {"reduce_all", "ops.All"}})
      t["math." + name] = {op, {}, {{"axis", "axis"}, {"keepdims", "keepdims"}}};
    t["reshape"] = {"ops.Reshape", {}, {{"shape", "newshape"}}};
    t["compat.v1.transpose"] = t["transpose"] = {"ops.Transpose", {}, {{"perm", "axes"}}};
    t["expand_dims"] = {"ops.ExpandDims", {}, {{"axis", "axis"}}};
    t["compat.v1.squeeze"] = t["squeeze"] = {"ops.Squeeze", {}, {{"axis", "axis"}}};
    t["concat"] = {"ops.Concatenate", {}, {{"axis", "axis"}}};
    t["stack"] = {"ops.Stack", {}, {{"axis", "axis"}}};
    t["split"] = {"ops.Split", {}, {{"num_or_size_splits", "indices_or_sections"}, {"axis", "axis"}}};
    t["cast"] = {"ops.Cast", {}, {{"dtype", "dtype"}}};
    t["clip_by_value"] = {"ops.Clip", {}, {{"clip_value_min", "x_min"}, {"clip_value_max", "x_max"}}};
    t["linalg.matmul"] = {"ops.Matmul", {"b"}};
    t["compat.v1.where"] = t["where"] = {"ops.Where", {"x", "y"}};
    t["__operators__.getitem"] = {"ops.GetItem", {"slice_spec"}};
    return t;
  }();
  return table;
}

// {"start", "stop", "step"} -> Keras 3's slice.
json slices(const json& spec) {
  if (spec.is_array()) {
    json out = json::array();
    for (const json& item : spec) out.push_back(slices(item));
    return out;
  }
  if (spec.is_object() && spec.contains("start")) return {{"class_name", "__slice__"}, {"config", spec}};
  return spec;
}

bool is_idle(const std::string& key, const json& value) {
  return value.is_null() || key == "name" || value == json(false) || (key == "axis" && value == json(-1));
}

// Moves a call's keyword arguments to where keras.ops has them; false: one of them has no place there.
bool respell(const Spelling& spelling, LayerCall& call, json& config) {
  for (const std::string& name : spelling.tensors) {
    auto it = call.kwargs.find(name);
    if (it == call.kwargs.end()) return false;
    if (auto* data = std::get_if<json>(&it->second.value)) *data = slices(*data);
    call.args.push_back(std::move(it->second));
    call.kwargs.erase(it);
  }
  for (auto it = call.kwargs.begin(); it != call.kwargs.end();) {
    const json* data = std::get_if<json>(&it->second.value);
    auto entry = spelling.entries.find(it->first);
    if (!data || (entry == spelling.entries.end() && !is_idle(it->first, *data))) return false;
    if (entry != spelling.entries.end() && !data->is_null()) config[entry->second] = *data;
    it = call.kwargs.erase(it);
  }
  return true;
}

}  // namespace

void respell_operation(SourceLayer& layer) {
  if ((layer.class_name != "TFOpLambda" && layer.class_name != "SlicingOpLambda") || layer.calls.size() != 1) return;
  const json function = layer.config.value("function", json());
  if (!function.is_string()) return;
  auto it = spellings().find(function.get<std::string>());
  if (it == spellings().end()) return;
  LayerCall call = layer.calls[0];
  json config = {{"name", layer.name}, {"trainable", true}, {"dtype", layer.config.value("dtype", "float32")}};
  if (!respell(it->second, call, config)) return;
  layer.class_name = it->second.op;
  layer.config = std::move(config);
  layer.calls[0] = std::move(call);
}

}  // namespace midstream::keras
