// Runs a Keras file on arrays, for the tests: run_keras FILE IN.npz OUT.npz [training]. IN holds x0, x1, ... in the
// order of the model's inputs. OUT gets y0, ..., and after a training run the state of every variable as
// "variable:<name>". Prints as JSON: the trainable variables in order, where each came from, and the optimizer's slots.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "base/error.h"
#include "formats/npz.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
#include "lower/keras/lower_model.h"
#include "passes/passes.h"
#include "run/executor.h"

using namespace midstream;

static double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int main(int argc, char** argv) {
  try {
    auto start = std::chrono::steady_clock::now();
    keras::File file = keras::read(argv[1]);
    const double reading = since(start);
    start = std::chrono::steady_clock::now();
    keras::LoweredModel model = keras::lower(file, libtorch_dialect());
    const double lowering = since(start);
    verify(*model.graph, &libtorch_dialect());
    const auto& variables = *model.graph->variables;
    keras::restore_optimizer(file, *model.host, variables);
    keras::json out = {{"trainable", keras::json::array()}, {"seconds", {reading, lowering}}};
    for (const std::string& name : model.trainable) {
      const Variable& v = *variables.find(name);
      keras::json slots = keras::json::object();
      if (file.optimizer)
        if (auto it = file.optimizer->slots.find(v.source); it != file.optimizer->slots.end())
          for (const auto& [slot, array] : it->second) {
            double sum = 0;
            for (double x : array.array.to_double()) sum += x;
            slots[slot] = sum;
          }
      out["trainable"].push_back({{"name", name}, {"source", v.source}, {"slots", slots}});
    }
    if (file.optimizer && file.optimizer->iterations) out["iterations"] = *file.optimizer->iterations;
    for (const auto& rule : model.host->regularizers)
      out["regularizers"].push_back({{"variable", rule.variable}, {"config", rule.config}});
    out["losses"] = model.host->losses.size();
    if (argc > 3) {
      auto store = std::make_shared<VariableStore>(model.graph->variables);
      const bool training = argc > 4;
      const Executor executor(*model.graph, store, training);
      const NpzFile in = NpzFile::open(argv[2]);
      std::vector<at::Tensor> inputs;
      for (size_t i = 0; i < model.graph->inputs.size(); ++i) {
        at::Tensor x = to_tensor(in.read(fmt::format("x{}", i)));
        inputs.push_back(x.to(to_scalar_type(model.graph->type(model.graph->inputs[i].value).dtype)));
      }
      NamedArrays results;
      const auto outputs = executor.run(inputs);
      for (size_t i = 0; i < outputs.size(); ++i)
        results.emplace_back(fmt::format("y{}", i), to_array(outputs[i].detach().contiguous()));
      if (training)
        for (const Variable& v : variables)
          results.emplace_back("variable:" + v.name, to_array(to_source(v, store->tensor(v.name)).detach()));
      write_npz(argv[3], results);
    }
    fmt::print("{}\n", out.dump(1));
    return 0;
  } catch (const Error& e) {
    fmt::print("error {}: {}\n", to_string(e.kind()), e.what());
    return 1;
  }
}
