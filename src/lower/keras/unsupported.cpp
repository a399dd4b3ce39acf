// What of a file has no lowering, all of it at once.
#include <fmt/format.h>

#include <algorithm>

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
  throw Error(ErrorKind::Unsupported, file.path, text + ".", "`midstream ops --frontend keras` lists what there is.");
}

}  // namespace midstream::keras
