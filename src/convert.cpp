#include "convert.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "formats/mapped_file.h"
#include "formats/safetensors.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
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

void write_package(const Converted& c, const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw Error(ErrorKind::Usage, directory, "cannot be made: " + error.message() + ".");
  const std::filesystem::path to(directory);
  write_safetensors((to / "weights.safetensors").string(), c.weights, {{"format", "pt"}});
  atomic_write((to / "model.py").string(), as_bytes(c.module.source));
  const std::string readme = fmt::format(
      "# {0}\n\nPyTorch source of `{1}`, written by midstream. It needs torch and safetensors.\n\n"
      "```python\nfrom safetensors.torch import load_file\nfrom model import {0}\n\n"
      "model = {0}()\nmodel.load_state_dict(load_file(\"weights.safetensors\"))\n```\n",
      c.module.class_name, c.file);
  atomic_write((to / "README.md").string(), as_bytes(readme));
}

}  // namespace midstream
