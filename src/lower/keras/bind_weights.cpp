// See bind_weights.h. Two layouts: a tree of groups in which each layer finds its own arrays, its trainable ones first
// (.keras); one flat list per top-level layer, all trainable ones (as the layers' flags are now) before all others
// (.h5).
#include "lower/keras/bind_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "lower/keras/old_weights.h"

namespace midstream::keras {
namespace {

// A layer's own weights as Keras lists them: created trainable first.
std::vector<const WeightRecord*> own_weights(const LayerRecord& layer) {
  std::vector<const WeightRecord*> out;
  for (bool trainable : {true, false})
    for (const WeightRecord& w : layer.weights)
      if (w.trainable == trainable) out.push_back(&w);
  return out;
}

struct Owned {
  const WeightRecord* weight;
  const LayerRecord* layer;
};

void all_weights(const LayerRecord& layer, std::vector<Owned>& out) {
  for (const WeightRecord* w : own_weights(layer)) {
    const auto same = [&](const Owned& o) { return o.weight->variable == w->variable; };
    if (std::none_of(out.begin(), out.end(), same)) out.push_back({w, &layer});
  }
  for (const LayerRecord* child : layer.children) all_weights(*child, out);
}

std::string where(const LayerRecord& layer) { return layer.path + ", keras." + layer.class_name; }

// The array in the variable's dtype, as Keras casts it when it loads a file of another dtype.
Array in_dtype(const Array& a, DType dtype, const LayerRecord& layer, const std::string& source) {
  const bool whole = is_integral(a.dtype());
  if (a.dtype() == dtype || (whole && dtype == DType::Int64) ||
      ((whole || is_floating(a.dtype())) && (dtype == DType::Float32 || dtype == DType::Float64)))
    return a.to(dtype);
  throw Error(ErrorKind::Mismatch, where(layer),
              fmt::format("'{}' is of dtype {}, the layer's weights are of dtype {}.", source, to_string(a.dtype()),
                          to_string(dtype)));
}

class Binder {
 public:
  Binder(LayerHost& host, Variables& variables) : host_(host), variables_(variables) {}

  void root(const LayerRecord& layer) {
    if (layer.tree && layer.tree->flat) {
      flat(layer);
    } else {
      tree(layer);
      if (layer.tree) check_surplus(layer, *layer.tree);
    }
  }

 private:
  void flat(const LayerRecord& root) {
    std::vector<Owned> owned;
    all_weights(root, owned);
    std::stable_partition(owned.begin(), owned.end(),
                          [&](const Owned& o) { return variables_.find(o.weight->variable)->trainable; });
    std::vector<WantedWeight> wanted;
    for (const Owned& o : owned) wanted.push_back({o.layer->class_name, o.layer->config, o.weight->name});
    const std::vector<BoundArray> arrays = as_today(wanted, root.tree->vars);
    std::vector<FileArray> plain;
    for (const BoundArray& a : arrays) plain.push_back(a.array);
    check_count(root, owned, plain);
    for (size_t i = 0; i < owned.size(); ++i) bind(*owned[i].weight, *owned[i].layer, plain[i], arrays[i].layout);
  }

  void tree(const LayerRecord& layer) {
    std::vector<Owned> owned;
    for (const WeightRecord* w : own_weights(layer)) owned.push_back({w, &layer});
    static const std::vector<FileArray> none;
    const WeightTree* tree = tree_of(layer);
    check_count(layer, owned, tree ? tree->vars : none);
    if (tree) seen_.insert(tree);
    for (size_t i = 0; i < owned.size(); ++i) bind(*owned[i].weight, layer, tree->vars[i]);
    for (const LayerRecord* child : layer.children) this->tree(*child);
  }

  // Arrays of inner layers that the lowering did not ask for. A random generator's state is no weight.
  void check_surplus(const LayerRecord& layer, const WeightTree& tree) {
    if (!tree.vars.empty() && !seen_.contains(&tree))
      throw Error(
          ErrorKind::Mismatch, where(layer),
          fmt::format("the file has '{}', which belongs to nothing in this layer's config.", tree.vars[0].source),
          "Config and weights come from different models, or the layer has an option that midstream does not know.");
    for (const auto& [name, child] : tree.children)
      if (name.find("seed_generator") == std::string::npos && name.find("random_generator") == std::string::npos)
        check_surplus(layer, child);
  }

  void check_count(const LayerRecord& layer, const std::vector<Owned>& owned, const std::vector<FileArray>& arrays) {
    if (owned.size() > arrays.size()) {
      std::vector<std::string> missing;
      for (size_t i = arrays.size(); i < owned.size(); ++i) missing.push_back(owned[i].weight->variable);
      throw Error(ErrorKind::Mismatch, where(layer),
                  fmt::format("the file has {} array(s) for this layer, {} are wanted; without a value: {}.",
                              arrays.size(), owned.size(), fmt::join(missing, ", ")),
                  "Config and weights come from different models, or the model was saved before it was built.");
    }
    if (owned.size() < arrays.size())
      throw Error(
          ErrorKind::Mismatch, where(layer),
          fmt::format("the file has {} array(s) for this layer, {} are wanted; left over: '{}'.", arrays.size(),
                      owned.size(), arrays[owned.size()].source),
          "Config and weights come from different models, or the layer has an option that midstream does not know.");
  }

  void bind(const WeightRecord& weight, const LayerRecord& layer, const FileArray& array,
            const std::optional<FileLayout>& layout = std::nullopt) {
    Variable& v = *variables_.find(weight.variable);
    if (array.array.shape() != v.source_dims)
      throw Error(ErrorKind::Mismatch, where(layer),
                  fmt::format("{} has shape {} in the file ('{}'), but the layer's config and input give {}.",
                              weight.name, to_string(array.array.shape()), array.source, to_string(v.source_dims)),
                  "Config and weights come from different models, or the layer was changed after saving.");
    host_.set_file_name(weight.variable, array.name);
    if (!v.source.empty()) return;
    v.initial = in_dtype(array.array, v.dtype, layer, array.source);
    v.source = array.source;
    v.file_layout = layout;
  }

  LayerHost& host_;
  Variables& variables_;
  std::set<const WeightTree*> seen_;  // subtrees that a layer has asked for
};

// A regularizer or constraint that no weight took would be lost silently.
void check_rules(const LayerRecord& layer) {
  for (const auto& [key, value] : layer.config.items()) {
    const std::string k = key;
    if (value.is_null() || k == "activity_regularizer" || (!k.ends_with("_regularizer") && !k.ends_with("_constraint")))
      continue;
    bool used = std::find(layer.used_entries.begin(), layer.used_entries.end(), k) != layer.used_entries.end();
    for (const LayerRecord* child : layer.children)
      used |= std::find(child->used_entries.begin(), child->used_entries.end(), k) != child->used_entries.end();
    if (!used)
      throw Error(ErrorKind::Unsupported, where(layer),
                  fmt::format("its {} is not applied by this lowering, so nothing was converted.", k));
  }
  for (const LayerRecord* child : layer.children) check_rules(*child);
}

void weight_order(const LayerRecord& layer, std::unordered_map<std::string, size_t>& order) {
  for (const WeightRecord* w : own_weights(layer)) order.emplace(w->variable, order.size());
  for (const LayerRecord* child : layer.children) weight_order(*child, order);
}

}  // namespace

const WeightTree* tree_of(const LayerRecord& layer) {
  if (layer.tree) return layer.tree;
  const WeightTree* tree = layer.parent ? tree_of(*layer.parent) : nullptr;
  if (!tree || tree->flat || layer.attribute.empty()) return nullptr;
  for (size_t start = 0; start <= layer.attribute.size();) {
    const size_t end = std::min(layer.attribute.find('/', start), layer.attribute.size());
    std::string name = layer.attribute.substr(start, end - start);
    name.erase(0, std::min(name.find_first_not_of('_'), name.size()));
    auto it = tree->children.find(name);
    if (it == tree->children.end()) return nullptr;
    tree = &it->second;
    start = end + 1;
  }
  return tree;
}

void bind_weights(LayerHost& host, Variables& variables) {
  Binder binder(host, variables);
  std::unordered_map<std::string, size_t> order;
  for (const LayerRecord* root : host.roots()) {
    binder.root(*root);
    check_rules(*root);
    weight_order(*root, order);
  }
  // Keras goes through the weights layer by layer, whatever the order of the calls.
  auto by_weight = [&](const WeightRule& a, const WeightRule& b) {
    return order.at(a.variable) < order.at(b.variable);
  };
  std::stable_sort(host.regularizers.begin(), host.regularizers.end(), by_weight);
  std::stable_sort(host.constraints.begin(), host.constraints.end(), by_weight);
}

}  // namespace midstream::keras
