// The calls of a layer ("inbound_nodes"), in the spelling of every version.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "frontend/keras/model.h"

namespace midstream::keras {

// `layer_names`: all layers of the model, to tell a tensor's reference ["dense", 0, 0] from a list of data.
std::vector<LayerCall> read_inbound_nodes(const json& nodes, const std::set<std::string>& layer_names,
                                          const std::string& layer);
// ["dense", 0, 0] -> TensorRef.
TensorRef read_tensor_ref(const json& ref, const std::string& where);
// A TFOpLambda in the words of keras.ops, where it has them (tf_op_lambda.cpp).
void respell_operation(SourceLayer& layer);
// Calls `f` on every TensorRef of an argument.
template <class F>
void for_each_ref(CallArg& arg, F&& f) {
  if (auto* ref = std::get_if<TensorRef>(&arg.value)) f(*ref);
  if (auto* list = std::get_if<std::vector<CallArg>>(&arg.value))
    for (CallArg& item : *list) for_each_ref(item, f);
  if (auto* map = std::get_if<std::map<std::string, CallArg>>(&arg.value))
    for (auto& [key, item] : *map) for_each_ref(item, f);
}

}  // namespace midstream::keras
