// What of a file has no lowering, all of it at once.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "base/error.h"
#include "lower/keras/bind_weights.h"
#include "lower/keras/lower_model.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

class Search {
 public:
  std::vector<Unsupported> found;

  void model(const Model& model, const std::string& prefix) {
    for (const SourceLayer& l : model.layers) {
      const std::string path = prefix.empty() ? l.name : prefix + "/" + l.name;
      if (l.model)
        this->model(*l.model, path);
      else if (registry().own.contains(l.class_name))
        continue;  // its config is its own business
      else if (!l.registered_name.empty())
        note("custom layer " + l.registered_name, path);
      else if (l.class_name != "InputLayer")
        layer(l.class_name, l.config, path);
    }
  }

 private:
  void note(const std::string& what, const std::string& path) {
    auto it = std::find_if(found.begin(), found.end(), [&](const Unsupported& u) { return u.what == what; });
    if (it == found.end()) it = found.insert(found.end(), {what, {}});
    if (std::find(it->where.begin(), it->where.end(), path) == it->where.end()) it->where.push_back(path);
  }

  void layer(const std::string& class_name, const json& config, const std::string& path) {
    if (!registry().layers.find(class_name) && !registry().cells.contains(class_name)) {
      note("keras." + class_name, path);
      return;
    }
    if (class_name == "TensorFlowOpLayer" && config.contains("node_def") && config.at("node_def").is_object()) {
      const std::string op = config.at("node_def").value("op", std::string());
      if (!registry().tf_ops.find(op)) note("tf." + op, path);
    }
    for (const auto& [key, value] : config.items()) entry(key, value, path);
  }

  void entry(const std::string& key, const json& value, const std::string& path) {
    if (value.is_null()) return;
    const bool object = value.is_object() && value.contains("class_name") && value.at("class_name").is_string();
    if (key == "activation" || key.ends_with("_activation")) {
      const std::string name = value.is_string() ? value.get<std::string>()
                               : object          ? value.at("class_name").get<std::string>()
                                                 : "";
      if (!name.empty() && !registry().activations.find(name) && !(object && registry().layers.find(name)))
        note("activation " + name, path);
    } else if (key.ends_with("_regularizer")) {
      if (object && !registry().regularizers.find(value.at("class_name")))
        note("regularizer " + value.at("class_name").get<std::string>(), path);
    } else if (key.ends_with("_constraint")) {
      if (object && !registry().constraints.find(value.at("class_name")))
        note("constraint " + value.at("class_name").get<std::string>(), path);
    } else if (key == "layer" || key == "forward_layer" || key == "backward_layer" || key == "cell") {
      if (object) inner(value, path);
    } else if (key == "cells" && value.is_array()) {
      for (const json& cell : value)
        if (cell.is_object() && cell.contains("class_name")) inner(cell, path);
    }
  }

  void inner(const json& object, const std::string& path) {
    const std::string class_name = object.at("class_name");
    const json config = object.value("config", json::object());
    const std::string inner_path = path + "/" + config.value("name", class_name);
    if (!is_model_class(class_name)) return layer(class_name, config, inner_path);
    model(canonical_model(object, written_by(object.value("keras_version", std::string()))), inner_path);
  }
};

}  // namespace

std::vector<Unsupported> unsupported(const Model& model) {
  Search search;
  search.model(model, "");
  return search.found;
}

namespace {

// A Python string literal: JSON's escapes are Python's.
std::string quoted(const std::string& text) { return json(text).dump(-1, ' ', true, json::error_handler_t::replace); }

// The name as a Python identifier: letters, digits and underscores of what stands behind the package.
std::string identifier(const std::string& name) {
  std::string out;
  for (const char c : name.substr(name.rfind('>') + 1))
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') out += c;
  return out.empty() || std::isdigit(static_cast<unsigned char>(out[0])) ? "Layer" + out : out;
}

void list_weights(const WeightTree& tree, const std::string& prefix, std::vector<std::string>& out) {
  for (size_t i = 0; i < tree.vars.size(); ++i) {
    std::string name = tree.vars[i].name;
    if (name.ends_with(":0")) name.resize(name.size() - 2);
    name = name.empty() ? fmt::format("weight_{}", i) : name.substr(name.rfind('/') + 1);
    out.push_back(fmt::format("{}: ..., a parameter of shape {}", quoted(prefix + name),
                              to_string(tree.vars[i].array.shape())));
  }
  for (const auto& [name, child] : tree.children)
    if (name.find("seed_generator") == std::string::npos) list_weights(child, prefix + name + "/", out);
}

void write_skeletons(const Model& model, std::set<std::string>& seen, std::string& out) {
  for (const SourceLayer& l : model.layers) {
    if (l.model) write_skeletons(*l.model, seen, out);
    if (l.model || l.registered_name.empty() || registry().own.contains(l.class_name)) continue;
    if (!seen.insert(l.class_name).second || seen.size() > 5) continue;
    const std::string name = l.class_name.starts_with("unregistered>") ? l.class_name.substr(13) : l.class_name;
    std::vector<std::string> weights;
    if (l.weights) list_weights(*l.weights, "", weights);
    out += fmt::format("\n    @midstream.register({}, weights={{  # in the file's order", quoted(name));
    for (const std::string& w : weights) out += fmt::format("\n        # {}", w);
    out += fmt::format("\n    }})\n    class {}(nn.Module):\n        def __init__(self, config, shape):  # shape of the "
                       "input, None where unknown\n            super().__init__()\n            # config: {}\n        "
                       "def forward(self, x):\n            ...\n",
                       identifier(name), l.config.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 400));
  }
}

}  // namespace

std::string skeletons(const Model& model) {
  std::set<std::string> seen;
  std::string out;
  write_skeletons(model, seen, out);
  return out;
}

void refuse_unsupported(const File& file) {
  const std::vector<Unsupported> found = unsupported(file.model);
  if (found.empty()) return;
  std::string text = found.size() == 1 ? "one thing in this file has no lowering yet:"
                                       : fmt::format("{} things in this file have no lowering yet:", found.size());
  for (const Unsupported& u : found) {
    const size_t shown = std::min<size_t>(u.where.size(), 5);
    text += fmt::format("\n  {:<24} x{}  at {}{}", u.what, u.where.size(),
                        fmt::join(u.where.begin(), u.where.begin() + static_cast<long>(shown), ", "),
                        shown < u.where.size() ? ", ..." : "");
  }
  const std::string skeletons = keras::skeletons(file.model);
  throw Error(ErrorKind::Unsupported, file.path, text + ".",
              skeletons.empty()
                  ? "`midstream ops --frontend keras` lists what there is."
                  : "Say in PyTorch what your classes do, in a file that you give with "
                    "`python -m midstream --python FILE ...` or import before midstream.load:\n" + skeletons);
}

}  // namespace midstream::keras
