// What the user registers from Python (python/midstream/_register.py): an operator of PyTorch's dispatcher that calls
// the user's module, and which weights of the file it takes. And the command line in a process that has done so.
#include <pybind11/stl.h>

#include "base/error.h"
#include "bind.h"
#include "cli/command_line.h"
#include "lower/keras/host.h"
#include "lower/own.h"

namespace py = pybind11;

namespace midstream {
namespace {

struct OwnWeight {
  std::string name;  // "kernel", or "dense/kernel" of a layer inside
  Dims dims;         // in the file
  std::vector<int64_t> permutation;  // from there to the module's; empty: none
  bool trainable;
};

// Python's answer, taken apart; its exceptions are the user's and go on as such, with the layer's name.
std::pair<std::string, std::vector<OwnWeight>> describe(const py::object& callback, Builder& b, const keras::json& config,
                                                        const std::vector<Dims>& shapes) {
  py::gil_scoped_acquire gil;
  py::list given;
  for (const Dims& dims : shapes) {
    py::list shape;
    for (int64_t d : dims) shape.append(d == kUnknown ? py::object(py::none()) : py::object(py::int_(d)));
    given.append(py::tuple(shape));
  }
  try {
    const auto answer = callback(config.dump(-1, ' ', true, keras::json::error_handler_t::replace), given).cast<py::tuple>();
    std::vector<OwnWeight> weights;
    for (const py::handle& item : answer[1].cast<py::list>()) {
      const auto w = item.cast<py::tuple>();
      weights.push_back({w[0].cast<std::string>(), w[1].cast<Dims>(), w[2].cast<std::vector<int64_t>>(),
                         w[3].cast<bool>()});
    }
    return {answer[0].cast<std::string>(), weights};
  } catch (const py::error_already_set& error) {
    const std::string text = error.what();
    b.fail(ErrorKind::Usage, "what you registered for it raised: " + text.substr(0, text.find("\n\nAt:")) + ".");
  }
}

// The layer that holds a weight: `l` itself, or the child at "dense/" of it.
Value own_weight(keras::Layer& l, const OwnWeight& w) {
  const size_t slash = w.name.rfind('/');
  auto take = [&](keras::Layer& owner, const std::string& name) {
    Value v = owner.weight(name, w.dims, w.trainable);
    return w.permutation.empty() ? v : owner.b.stored_as(v, {Permute{w.permutation}});
  };
  if (slash == std::string::npos) return take(l, w.name);
  const std::string path = w.name.substr(0, slash);
  keras::Layer child = l.child(path, path, "Layer", keras::json::object());
  return take(child, w.name.substr(slash + 1));
}

// Kept for ever: the registry outlives Python.
const py::object& kept(py::object callback) { return *new py::object(std::move(callback)); }

void layer(const std::string& name, py::object callback) {
  register_layer(name, [&own = kept(std::move(callback))](keras::Layer& l, const keras::Call& call) -> keras::Tensors {
    Values inputs;
    std::vector<Dims> shapes;
    for (const auto& arg : call.args)
      for (const keras::Tensor& t : arg) inputs.push_back(t.value), shapes.push_back(l.b.dims(t.value));
    if (inputs.empty())
      for (const keras::Tensor& t : call.inputs) inputs.push_back(t.value), shapes.push_back(l.b.dims(t.value));
    if (!call.kwargs.empty())
      l.b.fail(ErrorKind::Unsupported, "is called with the keyword argument '" + call.kwargs.begin()->first +
                                           "', which a registered layer is not given.");
    const auto [op, weights] = describe(own, l.b, l.config, shapes);
    Values values;
    for (const OwnWeight& w : weights) values.push_back(own_weight(l, w));
    return l.keep_mask(call, l.b.call(op, {{"inputs", inputs}, {"weights", values}, {"training", l.training()}}));
  });
}

void activation(const std::string& name, py::object callback) {
  register_activation(name, [&own = kept(std::move(callback))](Builder& b, const keras::json& config, Value v) {
    const auto [op, weights] = describe(own, b, config, {b.dims(v)});
    return b.call(op, {{"inputs", Values{v}}, {"weights", Values{}}, {"training", false}});
  });
}

void loss(const std::string& name, py::object callback) {
  register_loss(name, [&own = kept(std::move(callback))](Builder& b, const keras::json& config,
                                                         const keras::Rules&, Value t, Value p) -> keras::Losses {
    t = b.cast(t, b.dtype(p));
    const auto [op, weights] = describe(own, b, config, {b.dims(t), b.dims(p)});
    return {b.call(op, {{"inputs", Values{t, p}}, {"weights", Values{}}, {"training", false}}), {}};
  });
}

}  // namespace

void bind_register(py::module_& m) {
  m.def("register_layer", &layer, py::arg("name"), py::arg("callback"));
  m.def("register_activation", &activation, py::arg("name"), py::arg("callback"));
  m.def("register_loss", &loss, py::arg("name"), py::arg("callback"));
  m.def(
      "command_line",
      [](const std::vector<std::string>& arguments) {
        std::vector<const char*> argv;
        for (const std::string& a : arguments) argv.push_back(a.c_str());
        py::gil_scoped_release released;
        return cli::command_line(static_cast<int>(argv.size()), argv.data(), true);
      },
      py::arg("arguments"));
}

}  // namespace midstream
