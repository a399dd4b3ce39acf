#include "convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "emit/training.h"
#include "formats/mapped_file.h"
#include "formats/safetensors.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
#include "lower/math/random.h"
#include "open.h"
#include "passes/pass_manager.h"

namespace midstream {

Converted convert(const Graph& forward, std::shared_ptr<VariableStore> variables, const std::string& file,
                  const ConvertOptions& options) {
  Converted out;
  out.file = file;
  out.variables = std::move(variables);
  std::unique_ptr<Graph> graph = forward.clone();
  run_passes(*graph, libtorch_dialect());
  if (options.exact_random && math::draws_numbers(graph->body))
    throw Error(ErrorKind::Unsupported, file.empty() ? graph->name : file,
                "has random layers, and PyTorch source cannot draw TensorFlow's random numbers.",
                "Convert it without exact_random; `midstream train` and run.fit draw TensorFlow's numbers.");
  EmitOptions emit;
  emit.source_file = file;
  emit.exact_random = options.exact_random;
  out.module = emit_module(*graph, emit);
  return out;
}

namespace {

std::string name_of(const std::string& path) { return std::filesystem::path(path).filename().string(); }

void take_weights(Converted& c) {
  for (const EmittedTensor& t : c.module.tensors)
    c.weights.emplace_back(t.key, to_array(c.variables->tensor(t.variable)));
  for (const EmittedConstant& constant : c.module.constants) c.weights.emplace_back(constant.key, constant.array);
}

}  // namespace

Converted convert(const std::string& path, const ConvertOptions& options) {
  auto program = open_program(path, options.which);
  Converted out = convert(program->forward(), program->variables(), name_of(path), options);
  take_weights(out);
  return out;
}

namespace {

// Is there an entry that ends so, in this config or one inside it?
bool asks_for(const nlohmann::json& config, std::string_view ending) {
  if (config.is_array()) return std::any_of(config.begin(), config.end(), [&](auto& c) { return asks_for(c, ending); });
  if (!config.is_object()) return false;
  for (const auto& [key, value] : config.items())
    if ((key.ends_with(ending) && !value.is_null()) || asks_for(value, ending)) return true;
  return false;
}

bool asks_for(const keras::Model& model, std::string_view ending) {
  return std::any_of(model.layers.begin(), model.layers.end(), [&](const keras::SourceLayer& l) {
    return l.model ? asks_for(*l.model, ending) : asks_for(l.config, ending);
  });
}

std::vector<std::string> differences_of(const keras::File& file) {
  std::vector<std::string> out;
  if (asks_for(file.model, "_regularizer")) out.push_back("Penalties of regularizers are not part of `loss`.");
  if (asks_for(file.model, "_constraint")) out.push_back("Constraints of weights are not applied after the step.");
  return out;
}

}  // namespace

Converted convert_with_training(Run& run, const ConvertOptions& options) {
  const keras::File& file = run.file();
  Converted out = convert(run.forward_graph(), run.shared_variables(), name_of(file.path), options);
  take_weights(out);
  nlohmann::json compile;
  std::vector<std::string> differences;
  if (run.can_train()) {
    compile = file.compile;
    // The run's rate where the config has another one or none (a plain "sgd"); a schedule stays.
    nlohmann::json& rate = compile["optimizer"]["config"]["learning_rate"];
    if (!rate.is_object() && !(rate.is_number() && rate.get<float>() == static_cast<float>(run.learning_rate())))
      rate = run.learning_rate();
    differences = differences_of(file);
    out.training = emit_training(out.module, compile, differences);
    for (const EmittedTensor& t : emitted_state(out.module, *run.variables().variables()))
      out.state.emplace_back(t.key, to_array(run.variables().tensor(t.variable)));
  }
  EmitOptions emit;
  emit.source_file = out.file;
  emit.written_by = (file.keras3 ? "Keras " : "tf.keras ") + file.version;
  out.readme = emit_readme(out.module, emit, compile, differences);
  return out;
}

Converted convert_with_training(const std::string& path, const ConvertOptions& options) {
  std::string no_training;
  if (is_keras_file(path)) {
    try {
      Run run = Run::resume(path, {.read = options.which.keras});
      return convert_with_training(run, options);
    } catch (const Error& error) {  // a loss of one's own, say: the model may be converted all the same
      if (error.kind() != ErrorKind::Unsupported) throw;
      no_training = error.what();
    }
  }
  Converted out = convert(path, options);
  out.no_training = no_training;
  EmitOptions emit;
  emit.source_file = out.file;
  out.readme = emit_readme(out.module, emit, {}, {});
  return out;
}

void write_package(const Converted& c, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw Error(ErrorKind::Usage, directory, "cannot be made: " + error.message() + ".");
  const std::filesystem::path to(directory);
  write_safetensors((to / "weights.safetensors").string(), c.weights, {{"format", "pt"}});
  atomic_write((to / "model.py").string(), as_bytes(c.module.source));
  atomic_write((to / "README.md").string(), as_bytes(c.readme));
  if (c.training.empty()) return;
  atomic_write((to / "training.py").string(), as_bytes(c.training));
  write_safetensors((to / "state.safetensors").string(), c.state, {{"format", "pt"}});
}

}  // namespace midstream
