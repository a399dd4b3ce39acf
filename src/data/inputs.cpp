#include "data/inputs.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "formats/npz.h"
#include "libtorch/convert.h"

namespace midstream::data {
namespace {

// Whether every input and output has an open first dimension, so that rows may be run apart.
bool has_open_batch(const Graph& graph) {
  auto open = [&](Value v) {
    const Dims& dims = graph.type(v).dims;
    return !dims.empty() && dims[0] == kUnknown;
  };
  return std::all_of(graph.inputs.begin(), graph.inputs.end(), [&](const Input& i) { return open(i.value); }) &&
         std::all_of(graph.outputs.begin(), graph.outputs.end(), [&](const Output& o) { return open(o.value); });
}

bool same_length(const std::vector<at::Tensor>& inputs) {
  return !inputs.empty() && std::all_of(inputs.begin(), inputs.end(), [&](const at::Tensor& t) {
    return t.dim() > 0 && t.size(0) == inputs[0].size(0);
  });
}

}  // namespace

std::vector<at::Tensor> read_inputs(const Graph& graph, const std::string& path) {
  std::vector<at::Tensor> inputs;
  if (graph.inputs.empty()) return inputs;
  if (path.empty()) throw Error(ErrorKind::Usage, graph.name, "wants inputs.", "Give them with --data X.npz.");
  if (path.ends_with(".npy"))
    throw Error(ErrorKind::BadData, path, "is one array; a .npz archive is wanted.",
                "Write it with numpy.savez(path, x=...).");
  NpzFile npz = NpzFile::open(path);
  for (const Input& input : graph.inputs) {
    std::string name = "x:" + input.name;
    if (!npz.contains(name) && graph.inputs.size() == 1) name = "x";
    if (!npz.contains(name))
      throw Error(ErrorKind::BadData, path,
                  fmt::format("holds no array \"{}\"; it holds: {}.", name, fmt::join(npz.names(), ", ")));
    const Type& type = graph.type(input.value);
    const Array array = npz.read(name);
    const bool text = array.dtype() == DType::String;
    if (text != input.text)
      throw Error(ErrorKind::BadData, path + ": " + name,
                  text ? "holds strings, the model wants numbers." : "holds numbers, the model wants strings.",
                  text ? "" : "Save a numpy array of str or bytes.");
    at::Tensor t = text ? text_tensor(array) : to_tensor(array);
    if (text && t.dim() == static_cast<int64_t>(type.dims.size()) - 1 && type.dims[type.dims.size() - 2] == 1)
      t = t.unsqueeze(-2);
    bool fits = t.dim() == static_cast<int64_t>(type.dims.size());
    for (size_t i = 0; fits && i < type.dims.size(); ++i)
      fits = type.dims[i] == kUnknown || type.dims[i] == t.size(static_cast<int64_t>(i));
    if (!fits)
      throw Error(ErrorKind::BadData, path + ": " + name,
                  "has shape " + to_string(Dims(t.sizes().begin(), t.sizes().end())) + ", the model wants " +
                      to_string(type.dims) + ".");
    inputs.push_back(t.to(to_scalar_type(type.dtype)));
  }
  return inputs;
}

std::vector<at::Tensor> predict(Program& program, const std::vector<at::Tensor>& inputs, int64_t rows) {
  at::NoGradGuard no_grad;
  if (rows <= 0 || !same_length(inputs) || inputs[0].size(0) <= rows || !has_open_batch(program.forward()))
    return program.run(inputs, false);
  std::vector<std::vector<at::Tensor>> parts;
  for (int64_t first = 0; first < inputs[0].size(0); first += rows) {
    std::vector<at::Tensor> piece;
    for (const at::Tensor& t : inputs) piece.push_back(t.slice(0, first, std::min(first + rows, t.size(0))));
    std::vector<at::Tensor> y = program.run(piece, false);
    parts.resize(y.size());
    for (size_t i = 0; i < y.size(); ++i) parts[i].push_back(y[i]);
  }
  std::vector<at::Tensor> out;
  for (const auto& p : parts) out.push_back(at::cat(p));
  return out;
}

}  // namespace midstream::data
