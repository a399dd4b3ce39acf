// A model without its training: forward under autograd, and its variables as torch tensors. The Python package and the
// tests build on it.
#include <pybind11/stl.h>

#include "bind.h"
#include "libtorch/dialect.h"
#include "open.h"

namespace py = pybind11;

namespace midstream {
namespace {

using TensorMap = std::map<std::string, at::Tensor>;

TensorMap tensors(Program& program, bool trainable) {
  TensorMap out;
  const Variables& table = *program.variables()->variables();
  for (size_t i = 0; i < table.size(); ++i)
    if (table.at(i).trainable == trainable) out[table.at(i).name] = program.variables()->tensor(i);
  return out;
}

const Variable& variable(Program& program, const std::string& name) {
  const Variables& table = *program.variables()->variables();
  return table.at(table.index_of(name));
}

std::vector<std::string> names(const std::vector<Input>& values) {
  std::vector<std::string> out;
  for (const Input& v : values) out.push_back(v.name);
  return out;
}

}  // namespace

void bind_model(py::module_& m) {
  py::class_<Program>(m, "Model")
      .def(
          "forward",
          [](Program& p, const std::vector<at::Tensor>& inputs, bool training) {
            py::gil_scoped_release released;
            return p.run(inputs, training);
          },
          py::arg("inputs"), py::arg("training") = false)
      .def("input_names", [](Program& p) { return names(p.forward().inputs); })
      .def("output_names", [](Program& p) { return names(p.forward().outputs); })
      .def("parameters", [](Program& p) { return tensors(p, true); })
      .def("state", [](Program& p) { return tensors(p, false); })
      .def("to_source", [](Program& p, const std::string& name,
                           const at::Tensor& t) { return to_source(variable(p, name), t.to_dense()); })
      .def("from_source",
           [](Program& p, const std::string& name, const at::Tensor& t) { return from_source(variable(p, name), t); })
      .def("text", [](Program& p) { return print(p.forward(), &libtorch_dialect()); });
  // What of a file is meant, see open.h.
  py::class_<OpenOptions>(m, "OpenOptions")
      .def(py::init([](const std::string& signature, const std::string& function,
                       const std::map<std::string, Dims>& shapes, const std::string& architecture,
                       bool ignore_train_step) {
             return OpenOptions{signature, function, shapes,
                                {.ignore_train_step = ignore_train_step, .architecture = architecture}};
           }),
           py::arg("signature") = "", py::arg("function") = "", py::arg("shapes") = std::map<std::string, Dims>{},
           py::arg("architecture") = "", py::arg("ignore_train_step") = false);
  m.def(
      "open",
      [](const std::string& path, const std::string& signature, const std::string& function,
         const std::map<std::string, Dims>& shapes, const std::string& architecture) {
        return open_program(path, {.signature = signature,
                                   .function = function,
                                   .fed = shapes,
                                   .keras = {.architecture = architecture}});
      },
      py::arg("path"), py::arg("signature") = "", py::arg("function") = "",
      py::arg("shapes") = std::map<std::string, Dims>{}, py::arg("architecture") = "");
}

}  // namespace midstream
