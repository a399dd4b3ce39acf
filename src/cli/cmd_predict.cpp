// `midstream predict`: the model's outputs for the inputs in an .npz file.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "cli/commands.h"
#include "formats/npz.h"
#include "libtorch/convert.h"
#include "open.h"

namespace midstream::cli {
namespace {

// `x`, or `x:<input>` where there are several.
std::vector<at::Tensor> read_inputs(const Graph& graph, const std::string& data) {
  std::vector<at::Tensor> inputs;
  if (graph.inputs.empty()) return inputs;
  if (data.empty()) throw Error(ErrorKind::Usage, graph.name, "wants inputs.", "Give them with --data X.npz.");
  NpzFile npz = NpzFile::open(data);
  for (const Input& input : graph.inputs) {
    std::string name = "x:" + input.name;
    if (!npz.contains(name) && graph.inputs.size() == 1) name = "x";
    if (!npz.contains(name))
      throw Error(ErrorKind::BadData, data, fmt::format("holds no array \"{}\"; it holds: {}.", name, fmt::join(npz.names(), ", ")));
    const Type& type = graph.type(input.value);
    at::Tensor t = to_tensor(npz.read(name));
    bool fits = t.dim() == static_cast<int64_t>(type.dims.size());
    for (size_t i = 0; fits && i < type.dims.size(); ++i)
      fits = type.dims[i] == kUnknown || type.dims[i] == t.size(static_cast<int64_t>(i));
    if (!fits)
      throw Error(ErrorKind::BadData, data + ": " + name,
                  "has shape " + to_string(Dims(t.sizes().begin(), t.sizes().end())) + ", the model wants " +
                      to_string(type.dims) + ".");
    inputs.push_back(t.to(to_scalar_type(type.dtype)));
  }
  return inputs;
}

std::vector<at::Tensor> run_batches(Program& program, const std::vector<at::Tensor>& inputs, int64_t batch) {
  const bool batched = !inputs.empty() && std::all_of(inputs.begin(), inputs.end(), [&](const at::Tensor& t) {
    return t.dim() > 0 && t.size(0) == inputs[0].size(0);
  });
  bool dynamic = batched;
  for (const Input& i : program.forward().inputs) {
    const Dims& dims = program.forward().type(i.value).dims;
    dynamic = dynamic && !dims.empty() && dims[0] == kUnknown;
  }
  for (const Output& o : program.forward().outputs) {
    const Dims& dims = program.forward().type(o.value).dims;
    dynamic = dynamic && !dims.empty() && dims[0] == kUnknown;
  }
  if (!dynamic || batch <= 0 || inputs[0].size(0) <= batch) return program.run(inputs, false);
  std::vector<std::vector<at::Tensor>> parts;
  for (int64_t first = 0; first < inputs[0].size(0); first += batch) {
    std::vector<at::Tensor> piece;
    for (const at::Tensor& t : inputs) piece.push_back(t.slice(0, first, std::min(first + batch, t.size(0))));
    std::vector<at::Tensor> y = program.run(piece, false);
    parts.resize(y.size());
    for (size_t i = 0; i < y.size(); ++i) parts[i].push_back(y[i]);
  }
  std::vector<at::Tensor> out;
  for (const auto& p : parts) out.push_back(at::cat(p));
  return out;
}

}  // namespace

Command add_predict(CLI::App& app) {
  struct Options {
    std::string file, data, output, signature;
    int64_t batch = 32;
  };
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand("predict", "Run the model");
  sub->add_option("FILE", o->file, "A model file")->required();
  sub->add_option("--data", o->data, ".npz with x, or x:<input name>");
  sub->add_option("-o,--output", o->output, ".npz for y, or y:<output name>")->required();
  sub->add_option("--signature", o->signature, "Of a SavedModel");
  sub->add_option("--batch-size", o->batch, "Rows at a time")->capture_default_str()->check(CLI::PositiveNumber);
  return [o] {
    at::NoGradGuard no_grad;
    auto program = open_program(o->file, {.signature = o->signature, .function = {}});
    auto results = run_batches(*program, read_inputs(program->forward(), o->data), o->batch);
    const auto& outputs = program->forward().outputs;
    const bool bare = !is_keras_file(o->file) && o->signature.empty() && program->forward().outputs.size() != 1;
    NamedArrays arrays;
    for (size_t i = 0; i < results.size(); ++i) {
      std::string name = results.size() == 1 && !bare ? "y" : "y:" + outputs[i].name;
      arrays.emplace_back(name, to_array(results[i]));
    }
    write_npz(o->output, arrays);
    for (const auto& [name, array] : arrays)
      fmt::print("{}  {} {}\n", name, to_string(array.dtype()), to_string(array.shape()));
    return kDone;
  };
}

}  // namespace midstream::cli
