// Single parts of training (a loss, a metric, a rule), for the tests that compare them with Keras. JSON comes as text.
#include <pybind11/stl.h>

#include "bind.h"
#include "train/probe.h"

namespace py = pybind11;

namespace midstream {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

DType dtype(const std::string& name) { return parse_dtype(name).value(); }
at::Tensor given(const OptionalTensor& t) { return t.value_or(at::Tensor()); }
nlohmann::json parsed(const std::string& text) { return nlohmann::json::parse(text); }

// A gradient in Python: None, a tensor, or (values, indices).
VariableGradient gradient(const py::handle& g) {
  if (g.is_none()) return {};
  if (py::isinstance<py::tuple>(g)) {
    auto pair = py::cast<py::tuple>(g);
    return {py::cast<at::Tensor>(pair[0]), py::cast<at::Tensor>(pair[1])};
  }
  return {py::cast<at::Tensor>(g), {}};
}

}  // namespace

void bind_probe(py::module_& module) {
  py::module_ m = module.def_submodule("probe", "Parts of training by themselves.");
  m.def("loss", [](const std::string& description, bool keras3, const std::string& floatx,
                   const std::string& activation, const at::Tensor& y_true, const at::Tensor& y_pred,
                   const OptionalTensor& mask, const OptionalTensor& weight) {
    py::gil_scoped_release released;
    return probe::loss(parsed(description), keras3, dtype(floatx), activation, y_true, y_pred, given(mask),
                       given(weight));
  });
  m.def("metric", [](const std::string& description, bool keras3, const std::string& floatx,
                     const std::vector<std::tuple<at::Tensor, at::Tensor, OptionalTensor, OptionalTensor>>& batches) {
    std::vector<probe::MetricBatch> in;
    for (const auto& [t, p, mask, weight] : batches) in.push_back({t, p, given(mask), given(weight)});
    return probe::metric(parsed(description), keras3, dtype(floatx), in);
  });
  m.def("schedule", [](const std::string& description, const std::vector<int64_t>& steps) {
    return probe::schedule(parsed(description), steps);
  });
  m.def("regularizer", [](const std::string& description, bool keras3, const at::Tensor& w) {
    py::gil_scoped_release released;
    return probe::regularizer(parsed(description), keras3, w);
  });
  m.def("constraint", [](const std::string& description, bool keras3, const at::Tensor& w) {
    return probe::constraint(parsed(description), keras3, w);
  });
  m.def("optimizer", [](const std::string& description, bool keras3, const std::string& floatx,
                        const std::vector<at::Tensor>& variables, const py::list& steps) {
    std::vector<std::vector<VariableGradient>> in;
    for (const py::handle& step : steps) {
      in.emplace_back();
      for (const py::handle& g : py::cast<py::list>(step)) in.back().push_back(gradient(g));
    }
    return probe::optimizer(parsed(description), keras3, dtype(floatx), variables, in);
  });
}

}  // namespace midstream
