// `midstream ops`: what is supported, from the registry itself.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/commands.h"
#include "lower/registry.h"

namespace midstream::cli {

static void print_names(const std::string& title, const std::vector<std::string>& names) {
  fmt::print("{} ({}):\n", title, names.size());
  for (const std::string& name : names) fmt::print("  {}\n", name);
}

Command add_ops(CLI::App& app) {
  auto* sub = app.add_subcommand("ops", "List the supported layers, losses, metrics, optimizers and operations");
  auto frontend = std::make_shared<std::string>();
  sub->add_option("--frontend", *frontend, "keras, tensorflow, onnx or tflite")
      ->check(CLI::IsMember({"keras", "tensorflow", "onnx", "tflite"}));
  return [frontend] {
    const Registry& r = registry();
    auto wanted = [&](const char* name) { return frontend->empty() || *frontend == name; };
    if (wanted("keras")) {
      std::vector<std::string> layers = r.layers.names();
      layers.insert(layers.end(), r.cells.begin(), r.cells.end());
      std::sort(layers.begin(), layers.end());
      print_names("keras.layers", layers);
      print_names("keras.activations", r.activations.names());
      print_names("keras.losses", r.losses.names());
      print_names("keras.metrics", r.metrics.names());
      print_names("keras.optimizers", r.optimizers.names());
      print_names("keras.optimizers.schedules", r.schedules.names());
      print_names("keras.regularizers", r.regularizers.names());
      print_names("keras.constraints", r.constraints.names());
    }
    if (wanted("tensorflow")) print_names("tensorflow", r.tf_ops.names());
    if (wanted("onnx")) print_names("onnx", {});
    if (wanted("tflite")) print_names("tflite", {});
    return kDone;
  };
}

}  // namespace midstream::cli
