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
#include "open.h"
#include "passes/pass_manager.h"
#include "train/run.h"

namespace midstream {

Converted convert(const Graph& forward, std::shared_ptr<VariableStore> variables, const std::string& file,
                  const ConvertOptions& options) {
  Converted out;
  out.file = file;
  out.variables = std::move(variables);
  std::unique_ptr<Graph> graph = forward.clone();
  run_passes(*graph, libtorch_dialect());
  EmitOptions emit;
  emit.source_file = file;
  emit.exact_random = options.exact_random;
  out.module = emit_module(*graph, emit);
  return out;
}

Converted convert(const std::string& path, const ConvertOptions& options) {
  auto program = open_program(path, options.which);
  Converted out =
      convert(program->forward(), program->variables(), std::filesystem::path(path).filename().string(), options);
  for (const EmittedTensor& t : out.module.tensors)
    out.weights.emplace_back(t.key, to_array(out.variables->tensor(t.variable)));
  for (const EmittedConstant& c : out.module.constants) out.weights.emplace_back(c.key, c.array);
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

Converted convert_with_training(const std::string& path, const ConvertOptions& options) {
  Converted out = convert(path, options);
  if (!is_keras_file(path)) return out;
  try {
    Run run = Run::resume(path);
    if (!run.can_train()) return out;
    const keras::File& file = run.file();
    const std::vector<std::string> differences = differences_of(file);
    EmitOptions emit;
    emit.source_file = out.file;
    emit.written_by = (file.keras3 ? "Keras " : "tf.keras ") + file.version;
    out.training = emit_training(out.module, file.compile, differences);
    out.readme = emit_readme(out.module, emit, file.compile, differences);
    for (const EmittedTensor& t : emitted_state(out.module, *run.variables().variables()))
      out.state.emplace_back(t.key, to_array(run.variables().tensor(t.variable)));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Unsupported) throw;
    out.no_training = error.what();
  }
  return out;
}

void write_package(const Converted& c, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw Error(ErrorKind::Usage, directory, "cannot be made: " + error.message() + ".");
  const std::filesystem::path to(directory);
  write_safetensors((to / "weights.safetensors").string(), c.weights, {{"format", "pt"}});
  atomic_write((to / "model.py").string(), as_bytes(c.module.source));
  if (!c.training.empty()) {
    atomic_write((to / "training.py").string(), as_bytes(c.training));
    write_safetensors((to / "state.safetensors").string(), c.state, {{"format", "pt"}});
    atomic_write((to / "README.md").string(), as_bytes(c.readme));
    return;
  }
  const std::string readme = fmt::format(
      "# {0}\n\nPyTorch source of `{1}`, written by midstream. It needs torch and safetensors.\n\n"
      "```python\nfrom safetensors.torch import load_file\nfrom model import {0}\n\n"
      "model = {0}()\nmodel.load_state_dict(load_file(\"weights.safetensors\"))\n```\n",
      c.module.class_name, c.file);
  atomic_write((to / "README.md").string(), as_bytes(readme));
}

}  // namespace midstream
