// Prints what frontend/keras made of a file, as JSON: for the tests, which compare it with what Keras itself says.
#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "frontend/keras/canonical.h"

using namespace midstream;
using namespace midstream::keras;

static json dump(const CallArg& arg);

static json dump(const TensorRef& r) { return {{"ref", {r.layer, r.node, r.tensor}}}; }

static json dump(const CallArg& arg) {
  if (auto* r = std::get_if<TensorRef>(&arg.value)) return dump(*r);
  if (auto* list = std::get_if<std::vector<CallArg>>(&arg.value)) {
    json out = json::array();
    for (const CallArg& a : *list) out.push_back(dump(a));
    return out;
  }
  if (auto* map = std::get_if<std::map<std::string, CallArg>>(&arg.value)) {
    json out = json::object();
    for (const auto& [key, a] : *map) out[key] = dump(a);
    return out;
  }
  return std::get<json>(arg.value);
}

static json dump(const FileArray& a) {
  double sum = 0;
  for (double v : a.array.to_double()) sum += v;
  return {{"source", a.source}, {"name", a.name}, {"shape", a.array.shape()}, {"sum", sum}};
}

static json dump(const WeightTree& tree) {
  json out = {{"vars", json::array()}};
  for (const FileArray& a : tree.vars) out["vars"].push_back(dump(a));
  for (const auto& [name, child] : tree.children) out["children"][name] = dump(child);
  return out;
}

static json dump(const Model& m) {
  json out = {
      {"name", m.name}, {"class_name", m.class_name}, {"input_names", m.input_names}, {"output_names", m.output_names}};
  for (const TensorRef& r : m.inputs) out["inputs"].push_back(dump(r)["ref"]);
  for (const TensorRef& r : m.outputs) out["outputs"].push_back(dump(r)["ref"]);
  for (const SourceLayer& l : m.layers) {
    json layer = {{"name", l.name}, {"class_name", l.class_name}, {"config", l.config}, {"calls", json::array()}};
    for (const LayerCall& c : l.calls) {
      json call = {{"args", json::array()}, {"kwargs", json::object()}};
      for (const CallArg& a : c.args) call["args"].push_back(dump(a));
      for (const auto& [key, a] : c.kwargs) call["kwargs"][key] = dump(a);
      layer["calls"].push_back(call);
    }
    if (l.model) layer["model"] = dump(*l.model);
    if (l.weights) layer["weights"] = dump(*l.weights);
    out["layers"].push_back(layer);
  }
  return out;
}

int main(int argc, char** argv) {
  int failed = 0;
  bool quiet = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--quiet") {
      quiet = true;
      continue;
    }
    try {
      const File file = read(argv[i]);
      json out = {{"format", file.format}, {"version", file.version},   {"keras3", file.keras3},
                  {"floatx", file.floatx}, {"model", dump(file.model)}, {"compile", file.compile}};
      if (file.optimizer)
        for (const FileArray& a : file.optimizer->all) out["optimizer"].push_back(dump(a));
      if (quiet)
        fmt::print("ok {}\n", argv[i]);
      else
        fmt::print("{}\n", out.dump(1));
    } catch (const Error& e) {
      fmt::print("error {}: {}\n", to_string(e.kind()), e.what());
      failed = 1;
    }
  }
  return failed;
}
