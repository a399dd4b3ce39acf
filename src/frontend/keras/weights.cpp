// See weights.h.
#include "frontend/keras/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>

#include "base/error.h"

namespace midstream::keras {
namespace {

std::string join(const std::string& group, const std::string& name) {
  return group.ends_with('/') ? group + name : group + "/" + name;
}

bool is_number(const std::string& s) { return !s.empty() && s.find_first_not_of("0123456789") == std::string::npos; }

WeightTree read_tree(const H5File& h5, const std::string& group) {
  WeightTree tree;
  tree.vars = read_vars(h5, join(group, "vars"));
  for (const std::string& name : h5.groups(group)) {
    if (name == "vars") continue;
    // Private attributes of tf_keras' layers ("_query_dense") are public in Keras 3.
    const std::string attribute = name.substr(std::min(name.find_first_not_of('_'), name.size() - 1));
    WeightTree child = read_tree(h5, join(group, name));
    auto [it, is_new] = tree.children.emplace(attribute, child);
    if (!is_new && it->second.vars.empty() && it->second.children.empty()) it->second = std::move(child);
  }
  // A model inside another that was compiled itself (a GAN's discriminator) keeps its own optimizer and metrics. The
  // outer model's training uses neither, in Keras too; in the file they stay as they are.
  if (tree.children.contains("layers") || tree.children.contains("layer_checkpoint_dependencies"))
    for (const char* own : {"optimizer", "metrics", "loss_tracker", "compile_metrics", "compile_loss"})
      tree.children.erase(own);
  return tree;
}

bool has_arrays(const WeightTree& tree) {
  return !tree.vars.empty() ||
         std::any_of(tree.children.begin(), tree.children.end(), [](const auto& c) { return has_arrays(c.second); });
}

const FileArray* first_array(const WeightTree& tree) {
  if (!tree.vars.empty()) return &tree.vars[0];
  for (const auto& [name, child] : tree.children)
    if (const FileArray* a = first_array(child)) return a;
  return nullptr;
}

// Names of a container's items, as Keras makes them: "dense", "dense_1", ...
class Counter {
 public:
  std::string next(const std::string& class_name) {
    const std::string name = to_snake_case(class_name);
    auto [it, is_new] = counts_.emplace(name, 0);
    return is_new ? name : fmt::format("{}_{}", name, ++it->second);
  }

 private:
  std::map<std::string, int> counts_;
};

std::string file_class(const SourceLayer& layer) {
  if (layer.registered_name.empty()) return layer.class_name;
  return layer.own_class;
}

std::shared_ptr<const WeightTree> part(const std::shared_ptr<const WeightTree>& owner, const WeightTree& tree) {
  return {owner, &tree};
}

void attach_layers(Model& model, const std::shared_ptr<const WeightTree>& tree, const WeightTree& layers, bool twice,
                   const std::string& where) {
  Counter counter;
  std::set<std::string> seen;
  for (SourceLayer& layer : model.layers) {
    if (layer.class_name.starts_with("ops.")) continue;  // operations are no layers
    if (model.class_name == "Sequential" && layer.class_name == "InputLayer") continue;
    const std::string name = counter.next(file_class(layer));
    seen.insert(name);
    auto it = layers.children.find(name);
    if (it == layers.children.end()) continue;
    // The dict of TF 2.12 lists a layer with weights a second time, which takes a number.
    if (twice && has_arrays(it->second)) counter.next(file_class(layer));
    layer.weights = part(tree, it->second);
    if (layer.model) attach_subtrees(*layer.model, layer.weights, where + ": " + layer.name);
  }
  for (const auto& [name, child] : layers.children)
    if (!seen.contains(name) && has_arrays(child))
      throw Error(
          ErrorKind::Mismatch, where,
          fmt::format("'{}' holds an array, but the model's config has no layer for it.", first_array(child)->source),
          "Config and weights come from different models, or the file was edited.");
}

}  // namespace

std::vector<FileArray> read_vars(const H5File& h5, const std::string& group) {
  std::vector<FileArray> out;
  if (!h5.is_group(group)) return out;
  std::vector<std::string> names = h5.datasets(group);
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    if (is_number(a) && is_number(b)) return a.size() != b.size() ? a.size() < b.size() : a < b;
    return is_number(a) != is_number(b) ? is_number(a) : a < b;
  });
  for (const std::string& name : names) {
    const std::string path = join(group, name);
    out.push_back({path, is_number(name) ? "" : name, h5.read(path)});
  }
  return out;
}

std::vector<FileArray> read_listed(const H5File& h5, const std::string& group) {
  std::vector<FileArray> out;
  const auto names = h5.strings_attribute(group, "weight_names");
  if (!names) return out;
  for (const std::string& name : *names) {
    const std::string path = join(group, name);
    if (!h5.is_dataset(path))
      throw Error(ErrorKind::BadFile, h5.name() + ": " + group,
                  fmt::format("weight_names lists '{}', but it is not there.", name));
    out.push_back({path, name, h5.read(path)});
  }
  return out;
}

void attach_subtrees(Model& model, const std::shared_ptr<const WeightTree>& tree, const std::string& where) {
  for (const char* name : {"layers", "layer_checkpoint_dependencies"}) {
    auto it = tree->children.find(name);
    if (it == tree->children.end()) continue;
    attach_layers(model, tree, it->second, std::string_view(name) != "layers", where);
    return;
  }
}

static void refuse_own_weights(const Model& model, const std::vector<FileArray>& arrays, const std::string& where) {
  if (!arrays.empty())
    throw Error(
        ErrorKind::Unsupported, where,
        fmt::format("the model '{}' has weights of its own, outside its layers: '{}'.", model.name, arrays[0].source),
        "Put them into a layer and save the model again.");
}

void attach_tree(Model& model, const H5File& h5, const std::string& group, const std::string& where) {
  refuse_own_weights(model, read_vars(h5, join(group, "vars")), where);
  auto tree = std::make_shared<WeightTree>();
  for (const char* name : {"layers", "_layer_checkpoint_dependencies"})
    if (const std::string path = join(group, name); h5.is_group(path))
      tree->children[name[0] == '_' ? name + 1 : name] = read_tree(h5, path);
  attach_subtrees(model, tree, where);
}

static bool same_bytes(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.bytes(), b.bytes(), a.nbytes()) == 0;
}

static void find_copies(const WeightTree& tree, std::vector<std::pair<std::string, std::string>>& out) {
  for (const auto& [name, child] : tree.children) {
    if (name == "layer" && !tree.vars.empty() && !child.vars.empty() &&
        same_bytes(tree.vars[0].array, child.vars[0].array))
      out.emplace_back(child.vars[0].source, tree.vars[0].source);
    find_copies(child, out);
  }
}

std::vector<std::pair<std::string, std::string>> copied_arrays(const Model& model) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const SourceLayer& layer : model.layers)
    if (layer.weights) find_copies(*layer.weights, out);
  return out;
}

static json tokens_of(const ZipFile& zip, const std::string& member, bool numbers) {
  zip.verify(member);
  const SharedBytes bytes = zip.read(member);
  json out = json::array();
  std::string_view text = bytes.text();
  while (true) {
    const size_t end = text.find('\n');
    const std::string line(text.substr(0, end));
    if (!numbers) {
      out.push_back(line);
    } else {
      int64_t number = 0;
      const auto [last, error] = std::from_chars(line.data(), line.data() + line.size(), number);
      if (error != std::errc() || last != line.data() + line.size())
        throw Error(ErrorKind::BadFile, zip.name() + ": " + member, fmt::format("'{}' is no whole number.", line));
      out.push_back(number);
    }
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

void attach_vocabularies(Model& model, const ZipFile& zip, const std::string& folder) {
  Counter counter;
  for (SourceLayer& layer : model.layers) {
    if (layer.class_name.starts_with("ops.")) continue;
    if (model.class_name == "Sequential" && layer.class_name == "InputLayer") continue;
    const std::string own = join(folder, counter.next(file_class(layer)));
    if (layer.model) attach_vocabularies(*layer.model, zip, own + "/layers");
    const std::string member = own + "/vocabulary.txt";
    if (zip.contains(member) && layer.config.value("vocabulary", json()).is_null())
      layer.config["vocabulary"] = tokens_of(zip, member, layer.config.value("vocabulary_dtype", "string") == "int64");
  }
}

// "dense" of "dense_12".
static std::string without_number(const std::string& name) {
  const size_t end = name.find_last_not_of("0123456789");
  return end != std::string::npos && end > 0 && end + 1 < name.size() && name[end] == '_' ? name.substr(0, end) : name;
}

// Where a group with weights has no layer of its name: the n-th group "dense*" is the n-th layer "dense*", as when the
// model was built in a process that had numbered other layers before. Keras' load_weights goes by the order alone.
template <class HasWeights>
static std::map<std::string, SourceLayer*> in_order(Model& model, const std::vector<std::string>& groups,
                                                    const std::map<std::string, SourceLayer*>& by_name,
                                                    const HasWeights& has_weights) {
  if (std::all_of(groups.begin(), groups.end(), [&](const auto& g) { return by_name.contains(g) || !has_weights(g); }))
    return by_name;
  std::map<std::string, std::vector<SourceLayer*>> layers;
  for (SourceLayer& layer : model.layers) layers[without_number(layer.name)].push_back(&layer);
  std::map<std::string, size_t> seen, total;
  for (const std::string& name : groups) ++total[without_number(name)];
  std::map<std::string, SourceLayer*> out;
  for (const std::string& name : groups) {
    const std::string base = without_number(name);
    const size_t n = seen[base]++;
    if (auto it = layers.find(base); it != layers.end() && it->second.size() == total[base]) out[name] = it->second[n];
  }
  return out;
}

void attach_flat(Model& model, const H5File& h5, const std::string& group, const std::string& where, bool by_order) {
  std::map<std::string, SourceLayer*> by_name;
  for (SourceLayer& layer : model.layers) by_name[layer.name] = &layer;
  if (const std::string own = join(group, "top_level_model_weights"); h5.is_group(own))
    refuse_own_weights(model, read_listed(h5, own), where);
  std::vector<std::string> groups = h5.strings_attribute(group, "layer_names").value_or(h5.groups(group));
  if (by_order)
    by_name = in_order(model, groups, by_name, [&](const std::string& name) {
      return h5.is_group(join(group, name)) &&
             !h5.strings_attribute(join(group, name), "weight_names").value_or(std::vector<std::string>{}).empty();
    });
  for (const std::string& name : groups) {
    const std::string path = join(group, name);
    if (!h5.is_group(path))
      throw Error(ErrorKind::BadFile, where, fmt::format("layer_names lists '{}', but it is not there.", name));
    auto tree = std::make_shared<WeightTree>();
    tree->flat = true;
    tree->vars = read_listed(h5, path);
    auto it = by_name.find(name);
    if (it != by_name.end()) {
      it->second->weights = tree;
    } else if (!tree->vars.empty()) {
      throw Error(ErrorKind::Mismatch, where,
                  fmt::format("'{}' holds weights, but the model's config has no layer '{}'.", path, name),
                  "Config and weights come from different models, or the layer was renamed after saving.");
    }
  }
}

}  // namespace midstream::keras
