// SavedModels of TensorFlow 1 and 2, and checkpoints with their .meta file.
#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "frontend/tensorflow/read.h"

namespace midstream::tensorflow {
namespace fs = std::filesystem;
namespace {

void add_signatures(File& file, const MetaGraphDef& meta) {
  for (const auto& [name, signature] : meta.signatures) {
    if (name.starts_with("__saved_model_")) continue;  // init and train ops, not for users
    Entry entry;
    entry.name = name;
    for (const auto& [port, info] : signature.inputs) entry.inputs.push_back({port, info.name, info.dtype, info.shape});
    for (const auto& [port, info] : signature.outputs)
      entry.outputs.push_back({port, info.name, info.dtype, info.shape});
    if (!entry.outputs.empty()) file.signatures.push_back(std::move(entry));
  }
}

// TF1: the collections say which variables are trained.
void add_collections(File& file, const MetaGraphDef& meta) {
  for (const VariableDef& v : meta.variables("variables")) {
    std::string name = parse_endpoint(v.variable_name).node;
    file.trainable[name] = false;
  }
  for (const VariableDef& v : meta.variables("trainable_variables"))
    file.trainable[parse_endpoint(v.variable_name).node] = true;
}

// TF2: variables are objects. The SavedModel's object graph and the checkpoint's have the same paths from the root;
// the checkpoint's says under which key each value is.
std::map<int, std::string> variable_keys(const SavedObjectGraph& saved, const TrackableObjectGraph& stored) {
  std::map<int, std::string> keys;
  std::vector<std::pair<int, int>> open{{0, 0}};
  std::vector<bool> seen(saved.nodes.size());
  while (!open.empty()) {
    auto [a, b] = open.back();
    open.pop_back();
    if (a < 0 || static_cast<size_t>(a) >= saved.nodes.size() || seen[static_cast<size_t>(a)]) continue;
    seen[static_cast<size_t>(a)] = true;
    const SavedObject& object = saved.nodes[static_cast<size_t>(a)];
    if (static_cast<size_t>(b) >= stored.nodes.size()) continue;
    const TrackableObject& other = stored.nodes[static_cast<size_t>(b)];
    if (std::holds_alternative<SavedVariable>(object.kind))
      for (const auto& attribute : other.attributes)
        if (attribute.name == "VARIABLE_VALUE") keys[a] = attribute.checkpoint_key;
    for (const ObjectChild& child : object.children)
      if (auto match = other.child(child.local_name)) open.emplace_back(child.node_id, *match);
  }
  return keys;
}

void add_objects(File& file, const MetaGraphDef& meta) {
  if (meta.objects.nodes.empty() || !file.bundle || !file.bundle->contains(kObjectGraphKey)) return;
  auto owner = std::make_shared<std::string>(file.bundle->read(kObjectGraphKey).strings().at(0));
  SharedBytes shared{as_bytes(*owner), owner};
  auto keys = variable_keys(meta.objects, parse_object_graph(file.path, shared));

  for (const auto& [id, key] : keys) {
    const auto& variable = std::get<SavedVariable>(meta.objects.nodes[static_cast<size_t>(id)].kind);
    file.trainable[key] = variable.trainable;
    file.names[key] = variable.name;
  }
  for (const auto& [name, function] : meta.objects.concrete_functions) {
    std::vector<Capture> captures;
    for (int id : function.bound_inputs) {
      Capture c;
      const SavedObject& object = meta.objects.nodes.at(static_cast<size_t>(id));
      if (auto key = keys.find(id); key != keys.end()) c.variable_key = key->second;
      if (auto* constant = std::get_if<SavedConstant>(&object.kind)) c.constant = constant->operation;
      captures.push_back(std::move(c));
    }
    file.captures[name] = std::move(captures);
  }
  const SavedObject& root = meta.objects.nodes[0];
  for (const ObjectChild& child : root.children)
    if (auto* f = std::get_if<SavedFunction>(&meta.objects.nodes.at(static_cast<size_t>(child.node_id)).kind))
      file.named_functions[child.local_name] = f->concrete_functions;
}

void fill(File& file, MetaGraphDef&& meta) {
  file.version = meta.tensorflow_version;
  add_signatures(file, meta);
  add_collections(file, meta);
  add_objects(file, meta);
  file.graph = std::move(meta.graph);
}

}  // namespace

File read_saved_model_file(const std::string& directory) {
  File file;
  file.path = directory;
  file.format = "SavedModel";
  SavedModel model = read_saved_model(directory);
  if (model.meta_graphs.empty()) throw Error(ErrorKind::BadFile, directory, "holds no graph.");
  std::string prefix = (fs::path(directory) / "variables" / "variables").string();
  if (TensorBundle::exists(prefix)) file.bundle = TensorBundle::open(prefix);
  // What TensorFlow Serving loads: the graph tagged "serve" (and no accelerator), else the first.
  auto plain = std::find_if(model.meta_graphs.begin(), model.meta_graphs.end(),
                            [](const MetaGraphDef& m) { return m.tags == std::vector<std::string>{"serve"}; });
  if (plain == model.meta_graphs.end()) plain = model.meta_graphs.begin();
  fill(file, std::move(*plain));
  return file;
}

File read_checkpoint_file(const std::string& prefix) {
  File file;
  file.path = prefix;
  file.format = "checkpoint";
  if (TensorBundle::exists(prefix)) file.bundle = TensorBundle::open(prefix);
  if (!fs::exists(prefix + ".meta"))
    throw Error(ErrorKind::Unsupported, prefix,
                "is a checkpoint without its .meta file: it holds variables, but no graph.",
                "Save the model (SavedModel or .keras), or put the .meta file beside it.");
  fill(file, read_meta_graph(prefix + ".meta"));
  return file;
}

}  // namespace midstream::tensorflow
