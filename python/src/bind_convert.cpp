// The generated source of a model, and the tensors behind its state_dict. The package makes an nn.Module of them.
#include <pybind11/stl.h>

#include <filesystem>

#include "bind.h"
#include "convert.h"
#include "libtorch/convert.h"
#include "save.h"
#include "train/run.h"

namespace py = pybind11;

namespace midstream {
namespace {

py::dict describe(const Converted& c) {
  py::dict tensors, variables;
  for (const EmittedTensor& t : c.module.tensors) {
    tensors[py::str(t.key)] = c.variables->tensor(t.variable);
    variables[py::str(t.key)] = t.variable;
  }
  for (const EmittedConstant& k : c.module.constants) tensors[py::str(k.key)] = to_tensor(k.array).clone();
  py::dict out;
  out["source"] = c.module.source;
  out["class_name"] = c.module.class_name;
  out["tensors"] = tensors;
  out["variables"] = variables;  // state_dict key -> name in the file
  return out;
}

}  // namespace

void bind_convert(py::module_& m) {
  m.def(
      "convert",
      [](const std::string& path, const OpenOptions& which, bool exact_random) {
        return describe(convert(path, {.which = which, .exact_random = exact_random}));
      },
      py::arg("path"), py::arg("which"), py::arg("exact_random") = false);
  m.def(
      "convert_run",
      [](Run& run, bool exact_random) {
        return describe(convert(run.forward_graph(), run.shared_variables(),
                                std::filesystem::path(run.file().path).filename().string(),
                                {.which = {}, .exact_random = exact_random}));
      },
      py::arg("run"), py::arg("exact_random") = false);
  m.def(
      "save_variables",
      [](const std::string& source, const OpenOptions& which, const std::map<std::string, at::Tensor>& values,
         const std::string& path) {
        py::gil_scoped_release released;
        save_variables(source, which, values, path);
      },
      py::arg("source"), py::arg("which"), py::arg("values"), py::arg("path"));
}

}  // namespace midstream
