// `midstream inspect`: what is in a file, without running it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "frontend/tensorflow/source.h"
#include "libtorch/dialect.h"
#include "lower/keras/lower_model.h"
#include "lower/keras/train_graph.h"
#include "lower/tensorflow/lower_graph.h"
#include "open.h"
#include "train/run.h"

namespace midstream::cli {
namespace {

using nlohmann::json;

json shape_of(const Dims& dims) {
  json out = json::array();
  for (int64_t d : dims) out.push_back(d == kUnknown ? json() : json(d));
  return out;
}

json ports(const Graph& graph, const std::vector<Input>& values) {
  json out = json::array();
  for (const Input& v : values) {
    const Type& t = graph.type(v.value);
    out.push_back({{"name", v.name}, {"dtype", to_string(t.dtype)}, {"shape", shape_of(t.dims)}});
  }
  return out;
}

json variables_of(const Graph& graph) {
  json out = json::array();
  for (const Variable& v : *graph.variables)
    if (v.role == Role::Weight)
      out.push_back({{"name", v.name},
                     {"dtype", to_string(v.dtype)},
                     {"shape", shape_of(v.source_dims)},
                     {"trainable", v.trainable},
                     {"source", v.source}});
  return out;
}

json layers_of(const keras::Model& model, const std::string& prefix) {
  json out = json::array();
  for (const keras::SourceLayer& layer : model.layers) {
    out.push_back({{"path", prefix + layer.name}, {"class", layer.class_name}, {"calls", layer.calls.size()}});
    if (!layer.model) continue;
    for (json& inner : layers_of(*layer.model, prefix + layer.name + "/")) out.push_back(std::move(inner));
  }
  return out;
}

json inspect_keras(const std::string& path, const keras::ReadOptions& options) {
  auto file = std::make_shared<keras::File>(keras::read(path, options));
  json out{{"file", path},
           {"format", file->format},
           {"keras_version", file->version},
           {"semantics", file->keras3 ? "Keras 3" : "Keras 2"},
           {"model", file->model.class_name},
           {"layers", layers_of(file->model, "")},
           {"unsupported", json::array()}};
  for (const auto& missing : keras::unsupported(file->model))
    out["unsupported"].push_back({{"op", missing.what}, {"at", missing.where}});
  if (file->compile.is_object()) {
    out["optimizer"] = file->compile.value("optimizer", json());
    out["losses"] = file->compile.value("losses", json());
    out["metrics"] = file->compile.value("metrics", json());
  }
  const bool opens = out["unsupported"].empty();
  for (const std::string& what : keras::unsupported_in_compile(*file))
    out["unsupported"].push_back({{"op", what}, {"at", {"compile()"}}});
  out["opens"] = opens;
  out["trains"] = false;
  if (!opens) return out;
  std::optional<Run> resumed;
  try {
    resumed = Run::resume(file);
  } catch (const Error& error) {  // what keeps it from training; it may be run and converted all the same
    if (error.kind() != ErrorKind::Unsupported && error.kind() != ErrorKind::Mismatch) throw;
    out["problem"] = error.what();
    auto program = open_program(path, {.keras = options});
    out["inputs"] = ports(program->forward(), program->forward().inputs);
    out["outputs"] = ports(program->forward(), program->forward().outputs);
    out["variables"] = variables_of(program->forward());
    return out;
  }
  Run& run = *resumed;
  out["trains"] =
      run.can_train() && keras::unsupported_in_compile(*file).size() == keras::left_out_metrics(*file).size();
  out["inputs"] = ports(run.forward_graph(), run.forward_graph().inputs);
  out["outputs"] = ports(run.forward_graph(), run.forward_graph().outputs);
  out["variables"] = variables_of(run.forward_graph());
  json random = json::array();
  for (const Variable& v : *run.forward_graph().variables)
    if (v.role == Role::Seed) random.push_back(v.name);
  out["seeded_streams"] = random;
  if (run.can_train()) {
    out["step"] = run.iterations();
    out["learning_rate"] = run.learning_rate();
    out["optimizer_state"] = run.restored_optimizer();
  }
  return out;
}

json ports(const std::vector<tensorflow::Entry::Port>& values) {
  json out = json::array();
  for (const auto& p : values)
    out.push_back({{"name", p.name}, {"dtype", to_string(p.dtype)}, {"shape", p.shape ? shape_of(*p.shape) : json()}});
  return out;
}

json inspect_tensorflow(const std::string& path) {
  tensorflow::File file = tensorflow::read(path);
  json out{{"file", path},
           {"format", file.format},
           {"tensorflow_version", file.version},
           {"nodes", file.graph.nodes.size()},
           {"functions", file.graph.functions.size()},
           {"signatures", json::object()},
           {"unsupported", json::array()}};
  for (const tensorflow::Entry& e : file.signatures)
    out["signatures"][e.name] = {{"inputs", ports(e.inputs)}, {"outputs", ports(e.outputs)}};
  for (const auto& [op, places] : tensorflow::unsupported(file, libtorch_dialect()))
    out["unsupported"].push_back({{"op", "tf." + op}, {"at", places}});
  if (!out["unsupported"].empty()) return out;
  auto program = open_program(path);
  out["inputs"] = ports(program->forward(), program->forward().inputs);
  out["outputs"] = ports(program->forward(), program->forward().outputs);
  out["variables"] = variables_of(program->forward());
  return out;
}

// Names come from the file: nothing in them may act on the terminal.
std::string text_of(const json& value) {
  return printable(value.is_string() ? value.get<std::string>()
                                     : value.dump(-1, ' ', false, json::error_handler_t::replace));
}

void print_ports(const char* title, const json& list) {
  for (const json& p : list)
    fmt::print("  {:<10} {}  {} {}\n", title, text_of(p["name"]), text_of(p["dtype"]), p["shape"].dump());
}

void print_signatures(const json& signatures) {
  for (const auto& [name, ports] : signatures.items()) {
    fmt::print("  signature  {}\n", printable(name));
    print_ports("  takes", ports["inputs"]);
    print_ports("  gives", ports["outputs"]);
  }
}

std::string written_by(const json& j) {
  if (j.contains("keras_version")) return ", written by Keras " + text_of(j["keras_version"]);
  std::string version = text_of(j["tensorflow_version"]);
  return version.empty() ? "" : ", written by TensorFlow " + version;
}

void print_text(const json& j) {
  fmt::print("{}\n", text_of(j["file"]));
  fmt::print("  {:<10} {}{}\n", "format", text_of(j["format"]), written_by(j));
  print_ports("input", j.value("inputs", json::array()));
  print_ports("output", j.value("outputs", json::array()));
  if (j.contains("layers")) {
    fmt::print("  layers     {}\n", j["layers"].size());
    for (const json& l : j["layers"])
      fmt::print("    {:<36} {}{}\n", text_of(l["path"]), text_of(l["class"]),
                 l["calls"].get<size_t>() > 1 ? fmt::format("  (called {} times)", l["calls"].get<size_t>()) : "");
  } else {
    fmt::print("  graph      {} nodes, {} functions\n", j["nodes"].dump(), j["functions"].dump());
    print_signatures(j["signatures"]);
  }
  if (j.contains("variables")) {
    int64_t trained = 0, others = 0;
    for (const json& v : j["variables"]) {
      int64_t n = 1;
      for (const json& d : v["shape"]) n *= d.get<int64_t>();
      (v["trainable"].get<bool>() ? trained : others) += n;
    }
    fmt::print("  parameters {} trainable, {} not\n", trained, others);
  }
  if (j.contains("optimizer") && !j["optimizer"].is_null()) {
    fmt::print("  optimizer  {}", text_of(j["optimizer"]["class_name"]));
    if (j.contains("step"))
      fmt::print(", step {}, learning rate {:g}, {}", j["step"].get<int64_t>(), j["learning_rate"].get<double>(),
                 j["optimizer_state"].get<bool>() ? "state in the file" : "no state in the file: it starts fresh");
    fmt::print("\n");
    for (const json& loss : j["losses"])
      if (!loss.is_null()) fmt::print("  loss       {}\n", text_of(loss["class_name"]));
  } else if (j.contains("layers")) {
    fmt::print("  optimizer  none: the model was saved without compile()\n");
  }
  for (const json& missing : j.value("unsupported", json::array())) {
    fmt::print("  unsupported {}  at {}\n", text_of(missing["op"]), text_of(missing["at"]));
  }
  if (j.contains("problem")) fmt::print("  problem    {}\n", text_of(j["problem"]));
  if (j.contains("opens")) {
    const bool opens = j["opens"].get<bool>(), trains = j["trains"].get<bool>();
    fmt::print("  can be     {}\n", trains  ? "run, converted, trained and written back"
                                    : opens ? "run and converted, not trained"
                                            : "inspected only");
  }
}

}  // namespace

Command add_inspect(CLI::App& app) {
  auto* sub = app.add_subcommand("inspect", "What is in a file: layers, parameters, optimizer, step");
  auto path = std::make_shared<std::string>();
  auto options = std::make_shared<keras::ReadOptions>();
  auto as_json = std::make_shared<bool>(false);
  sub->add_option("FILE", *path, "A model file")->required();
  sub->add_flag("--json", *as_json, "Print JSON");
  add_keras_options(*sub, *options);
  return [path, options, as_json] {
    refuse_other_kinds(*path);
    json found = is_keras_file(*path) ? inspect_keras(*path, *options) : inspect_tensorflow(*path);
    if (*as_json)
      fmt::print("{}\n", found.dump(2, ' ', true, json::error_handler_t::replace));
    else
      print_text(found);
    return kDone;
  };
}

}  // namespace midstream::cli
