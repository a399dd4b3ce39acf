// Run: a model in the middle of its training. A batch is (x, y, sample_weight), each a list of tensors.
#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <filesystem>

#include "base/error.h"
#include "bind.h"
#include "data/npz.h"
#include "save.h"
#include "train/progress.h"
#include "train/run.h"

namespace py = pybind11;

namespace midstream {
namespace {

Batch batch_of(const std::vector<at::Tensor>& x, const std::vector<at::Tensor>& y,
               const std::vector<at::Tensor>& sample_weight) {
  return {x, y, sample_weight};
}

Run resume(const std::string& path, const std::string& device, int64_t random_step, const std::string& dtype,
           const std::string& train_step, const std::string& architecture, const std::string& loss,
           const std::string& optimizer, double learning_rate) {
  if (train_step != "refuse" && train_step != "ignore")
    throw Error(ErrorKind::Usage, "train_step", "'" + train_step + "' is no choice.", "Give \"refuse\" or \"ignore\".");
  RunOptions options;
  options.read = {train_step == "ignore", architecture, loss, optimizer, learning_rate};
  options.device = device;
  options.dtype = dtype;
  options.random_step = random_step;
  py::gil_scoped_release released;
  return Run::resume(path, options);
}

py::list history(const History& h) {
  py::list out;
  for (const Logs& logs : h.epochs)
    out.append(py::dict(py::cast(std::map<std::string, double>(logs.begin(), logs.end()))));
  return out;
}

py::list fit(Run& run, const std::string& data, int64_t epochs, int64_t steps, int64_t batch_size, bool shuffle,
             uint64_t seed, const std::string& validation, const std::string& checkpoint_dir, int64_t checkpoint_every,
             bool resumed, bool progress, const std::map<int64_t, double>& class_weight) {
  FitOptions options;
  options.epochs = epochs, options.steps = steps, options.batch_size = batch_size;
  options.shuffle = shuffle, options.seed = seed;
  options.checkpoint_dir = checkpoint_dir, options.checkpoint_every = checkpoint_every;
  options.resume = resumed, options.progress = progress;
  options.class_weight.assign(class_weight.begin(), class_weight.end());
  py::gil_scoped_release released;
  data::Npz train(data);
  std::unique_ptr<data::Npz> other;
  if (!validation.empty()) other = std::make_unique<data::Npz>(validation);
  options.validation = other.get();
  History h = run.fit(train, options);
  py::gil_scoped_acquire acquired;
  return history(h);
}

std::map<std::string, at::Tensor> tensors(Run& run) {
  std::map<std::string, at::Tensor> out;
  const Variables& table = *run.variables().variables();
  for (size_t i = 0; i < table.size(); ++i) out[table.at(i).name] = run.variables().tensor(i);
  return out;
}

// f(run, batch) as a method of x, y and sample_weight, without the GIL.
template <class F>
auto on_batch(F f) {
  return [f](Run& run, const std::vector<at::Tensor>& x, const std::vector<at::Tensor>& y,
             const std::vector<at::Tensor>& w) {
    py::gil_scoped_release released;
    return f(run, batch_of(x, y, w));
  };
}

}  // namespace

void bind_train(py::module_& m) {
  py::class_<Run>(m, "Run")
      .def("train_step", on_batch([](Run& run, const Batch& batch) { return run.train_step(batch); }), py::arg("x"),
           py::arg("y"), py::arg("sample_weight") = std::vector<at::Tensor>{})
      .def("test_step", on_batch([](Run& run, const Batch& batch) { return run.test_step(batch); }), py::arg("x"),
           py::arg("y"), py::arg("sample_weight") = std::vector<at::Tensor>{})
      .def("gradients", on_batch([](Run& run, const Batch& batch) {
             auto g = run.gradients(batch);
             return std::make_pair(g.loss, g.gradients);
           }),
           py::arg("x"), py::arg("y"), py::arg("sample_weight") = std::vector<at::Tensor>{})
      .def("fit", &fit, py::arg("data"), py::arg("epochs") = 1, py::arg("steps") = 0, py::arg("batch_size") = 32,
           py::arg("shuffle") = true, py::arg("seed") = 0, py::arg("validation") = "", py::arg("checkpoint_dir") = "",
           py::arg("checkpoint_every") = 0, py::arg("resume") = false, py::arg("progress") = true,
           py::arg("class_weight") = std::map<int64_t, double>{})
      .def(
          "evaluate",
          [](Run& run, const std::string& data, int64_t batch_size) {
            py::gil_scoped_release released;
            return run.evaluate(data::Npz(data), batch_size);
          },
          py::arg("data"), py::arg("batch_size") = 32)
      .def(
          "predict",
          [](Run& run, const std::vector<at::Tensor>& x, int64_t batch_size) {
            py::gil_scoped_release released;
            return run.predict(x, batch_size);
          },
          py::arg("x"), py::arg("batch_size") = 32)
      .def(
          "apply_gradients",
          [](Run& run, const std::vector<std::optional<at::Tensor>>& gradients) {
            std::vector<at::Tensor> g;
            for (const auto& t : gradients) g.push_back(t.value_or(at::Tensor()));
            run.apply_gradients(g);
          },
          py::arg("gradients"))
      .def("finalize", &Run::finalize)
      .def(
          "save",
          [](Run& run, const std::string& path) {
            py::gil_scoped_release released;
            save(run, path);
          },
          py::arg("path"))
      .def_property_readonly("can_train", &Run::can_train)
      .def_property_readonly("left_out_metrics", &Run::left_out_metrics)
      .def_property_readonly("compile_config", [](Run& run) { return run.file().compile.dump(); })
      .def("reset_metrics", &Run::reset_metrics)
      .def("tensors", &tensors)
      .def("trainable", &Run::trainable)
      .def("slot_name", &Run::slot_name)
      .def("to_source",
           [](Run& run, const std::string& name) {
             const Variables& table = *run.variables().variables();
             return to_source(table.at(table.index_of(name)), run.variables().tensor(name));
           })
      .def_property_readonly("iterations", &Run::iterations)
      .def_property("learning_rate", &Run::learning_rate, &Run::set_learning_rate)
      .def_property_readonly("restored_optimizer", &Run::restored_optimizer)
      .def("input_names", &Run::input_names)
      .def("output_names", &Run::output_names)
      .def("save_checkpoint", [](Run& run, const std::string& path) { run.save_checkpoint(path); })
      .def("load_checkpoint", [](Run& run, const std::string& path) { run.load_checkpoint(path); });
  m.def("resume", &resume, py::arg("path"), py::arg("device") = "cpu", py::arg("random_step") = 0,
        py::arg("dtype") = "", py::arg("train_step") = "refuse", py::arg("architecture") = "",
        py::arg("loss") = "", py::arg("optimizer") = "", py::arg("learning_rate") = 0.0);
}

}  // namespace midstream
