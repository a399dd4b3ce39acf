// Variables of TF1 and TF2 are tied to checkpoint keys by the graph's own restore ops (RestoreV2 -> Assign), which hold
// in every version; what no restore op reaches goes by its name. A frozen graph has lost its variables: the constants
// that were variables are recognised by the read op that freezing leaves behind, or else by being floating arrays.
#include "lower/tensorflow/weights.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/error.h"

namespace midstream::tensorflow {

bool is_variable_op(const std::string& op) { return op == "VarHandleOp" || op == "VariableV2" || op == "Variable"; }

namespace {

using Nodes = std::unordered_map<std::string, const NodeDef*>;

Nodes by_name(const std::vector<NodeDef>& nodes) {
  Nodes out;
  for (const NodeDef& n : nodes) out[n.name] = &n;
  return out;
}

const NodeDef* node_at(const Nodes& nodes, const std::string& endpoint) {
  auto it = nodes.find(parse_endpoint(endpoint).node);
  return it == nodes.end() ? nullptr : it->second;
}

// Through Identity and Cast back to where a value comes from.
std::pair<const NodeDef*, int> origin_of(const Nodes& nodes, std::string endpoint) {
  while (true) {
    Endpoint e = parse_endpoint(endpoint);
    const NodeDef* node = node_at(nodes, endpoint);
    if (!node || node->op != "Identity") return {node, e.index};
    endpoint = node->inputs.at(0);
  }
}

// handle node (or function argument) -> checkpoint key, by the Assigns of one graph or function.
std::map<std::string, std::string> restored(const std::vector<NodeDef>& all) {
  std::map<std::string, std::string> keys;
  Nodes nodes = by_name(all);
  for (const NodeDef& assign : all) {
    if (assign.op != "Assign" && assign.op != "AssignVariableOp") continue;
    auto [restore, index] = origin_of(nodes, assign.inputs.at(1));
    if (!restore || restore->op != "RestoreV2") continue;
    const NodeDef* names = node_at(nodes, restore->inputs.at(1));
    if (!names || names->op != "Const") continue;
    const Array array = names->attr("value").tensor();
    if (static_cast<size_t>(index) < array.strings().size())
      keys[parse_endpoint(assign.inputs.at(0)).node] = array.strings()[static_cast<size_t>(index)];
  }
  return keys;
}

std::map<std::string, std::string> keys_of_handles(const File& file) {
  std::map<std::string, std::string> keys = restored(file.graph.nodes);
  // TF2: the main graph calls a function that restores.
  for (const NodeDef& call : file.graph.nodes) {
    if (call.op != "StatefulPartitionedCall") continue;
    const FunctionDef* f = file.graph.find_function(call.attr("f").func().name);
    if (!f) continue;
    auto inner = restored(f->nodes);
    for (size_t i = 0; i < f->inputs.size() && i < call.inputs.size(); ++i)
      if (auto it = inner.find(f->inputs[i].name); it != inner.end())
        keys[parse_endpoint(call.inputs[i]).node] = it->second;
  }
  return keys;
}

std::map<std::string, std::string> add_checkpoint_variables(const File& file, Variables& variables) {
  std::map<std::string, std::string> out, keys = keys_of_handles(file);
  for (const NodeDef& node : file.graph.nodes) {
    if (!is_variable_op(node.op)) continue;
    std::string name = node.name;
    if (node.has("shared_name"))
      if (std::string shared = node.attr("shared_name").s(); !shared.empty()) name = shared;
    auto key = keys.find(node.name);
    std::string source = key != keys.end() ? key->second : name;
    if (file.bundle && file.bundle->contains(source)) out[node.name] = add_variable(file, variables, source, name);
  }
  return out;
}

// --- frozen graphs

bool is_weight_array(const Array& a) { return is_floating(a.dtype()) && !a.shape().empty() && a.size() > 1; }

// The moving statistics that a normalization in inference mode reads: weights, but not trained.
std::set<std::string> moving_statistics(const File& file) {
  std::set<std::string> out;
  const Nodes nodes = by_name(file.graph.nodes);
  for (const NodeDef& node : file.graph.nodes) {
    if (!node.op.starts_with("FusedBatchNorm") || node.inputs.size() < 5) continue;
    if (!node.has("is_training") || node.attr("is_training").b()) continue;
    for (size_t i : {size_t{3}, size_t{4}})
      if (const NodeDef* source = origin_of(nodes, node.inputs[i]).first) out.insert(source->name);
  }
  return out;
}

std::map<std::string, std::string> add_frozen_weights(const File& file, Variables& variables) {
  std::set<std::string> read;  // constants behind the read op of a variable
  for (const NodeDef& node : file.graph.nodes) {
    bool reads = node.op == "Identity" || node.op == "ReadVariableOp";
    if (!reads || node.inputs.empty()) continue;
    std::string source = parse_endpoint(node.inputs[0]).node;
    if (node.name == source + "/read" || node.name.find("ReadVariableOp") != std::string::npos) read.insert(source);
  }
  const std::set<std::string> statistics = moving_statistics(file);
  std::map<std::string, std::string> out;
  for (const NodeDef& node : file.graph.nodes) {
    if (node.op != "Const" || (!read.empty() && !read.count(node.name))) continue;
    auto dtype = to_dtype(node.attr("dtype").type());
    if (!dtype || !is_floating(*dtype)) continue;
    Array value = node.attr("value").tensor();
    if (!is_weight_array(value) && !read.count(node.name)) continue;
    Variable v;
    v.name = v.source = node.name;
    v.dtype = value.dtype();
    v.source_dims = value.shape();
    v.trainable = !statistics.count(node.name);
    v.initial = std::move(value);
    if (!variables.find(v.name)) variables.add(std::move(v));
    out[node.name] = node.name;
  }
  return out;
}

}  // namespace

std::string add_variable(const File& file, Variables& variables, const std::string& key, const std::string& name) {
  for (const Variable& v : variables)
    if (v.source == key) return v.name;
  if (!file.bundle || !file.bundle->contains(key))
    throw Error(ErrorKind::BadFile, file.path,
                "the checkpoint holds no value for the variable " + name + " (key " + key + ").");
  Variable v;
  v.name = name;
  for (int i = 1; variables.find(v.name); ++i) v.name = name + "_" + std::to_string(i);
  v.source = key;
  v.initial = file.bundle->read(key);
  v.dtype = v.initial.dtype();
  v.source_dims = v.initial.shape();
  auto by_key = file.trainable.find(key);
  auto known = by_key != file.trainable.end() ? by_key : file.trainable.find(name);
  v.trainable = is_floating(v.dtype) && (known == file.trainable.end() || known->second);
  std::string unique = v.name;
  variables.add(std::move(v));
  return unique;
}

std::map<std::string, std::string> add_variables(const File& file, Variables& variables) {
  return file.format == "GraphDef" ? add_frozen_weights(file, variables) : add_checkpoint_variables(file, variables);
}

}  // namespace midstream::tensorflow
