#include "train/probe.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
#include "lower/keras/config.h"
#include "lower/keras/reduction.h"
#include "lower/registry.h"

namespace midstream::probe {

namespace {

Type type_of(const at::Tensor& t) {
  Dims dims = t.sizes().vec();
  if (!dims.empty()) dims[0] = kUnknown;
  return {Kind::Tensor, from_scalar_type(t.scalar_type()), dims};
}

template <class Table>
const auto& find(const Table& table, const json& description) {
  const std::string name = description.at("class_name");
  const auto* fn = table.find(name);
  if (!fn) throw Error(ErrorKind::Unsupported, name, "has no lowering.");
  return *fn;
}

json config_of(const json& description) { return description.value("config", json::object()); }

// A graph under construction whose inputs are given tensors; absent ones give null values.
struct Scratch {
  Scratch() : variables(std::make_shared<Variables>()), graph(variables), b(graph, libtorch_dialect()) {}
  Value input(const std::string& name, const at::Tensor& t, bool whole = false) {
    if (!t.defined()) return {};
    inputs.push_back(t);
    Type type = type_of(t);
    if (whole) type.dims = t.sizes().vec();
    return b.input(name, type);
  }
  std::vector<at::Tensor> run(const Values& outputs) {
    std::vector<Output> named;
    for (size_t i = 0; i < outputs.size(); ++i) named.push_back({fmt::format("out_{}", i), outputs[i]});
    b.outputs(named);
    return Executor(graph, std::make_shared<VariableStore>(variables), true).run(inputs);
  }
  std::shared_ptr<Variables> variables;
  Graph graph;
  Builder b;
  std::vector<at::Tensor> inputs;
};

std::pair<at::Tensor, at::Tensor> with_gradient(Scratch& s, Value result, const at::Tensor& leaf) {
  at::AutoGradMode grad(true);
  at::Tensor value = s.run({result})[0];
  at::Tensor g = at::zeros_like(leaf);
  if (value.requires_grad()) {
    at::Tensor found = torch::autograd::grad({value.sum()}, {leaf}, {}, false, false, true)[0];
    if (found.defined()) g = found;
  }
  return {value.detach(), g};
}

}  // namespace

std::pair<at::Tensor, at::Tensor> loss(const json& description, bool keras3, DType floatx,
                                       const std::string& activation, const at::Tensor& y_true,
                                       const at::Tensor& y_pred, const at::Tensor& mask, const at::Tensor& weight) {
  const keras::Rules rules = keras::rules_for(keras3, floatx);
  at::Tensor leaf = y_pred.detach().clone().set_requires_grad(true);
  Scratch s;
  Value t = s.input("y_true", y_true), p = s.input("y_pred", leaf), m = s.input("mask", mask),
        w = s.input("weight", weight);
  if (!activation.empty()) p = (*registry().activations.find(activation))(s.b, json::object(), p);
  if (rules.losses_in_floatx) p = s.b.cast(p, rules.floatx);
  auto [y, q] = keras::match_targets(s.b, rules, t, p);
  keras::Losses losses = find(registry().losses, description)(s.b, config_of(description), rules, y, q);
  if (m && rules.mask_counts_twice) w = keras::weight_of_mask(s.b, rules, m, w, s.b.dtype(p), false);
  if (losses.mask) m = m ? s.b.logical_and(m, losses.mask) : losses.mask;
  std::string reduction = keras::text(config_of(description), "reduction", "sum_over_batch_size");
  return with_gradient(s, keras::reduce_losses(s.b, rules, reduction, losses.values, m, w), leaf);
}

at::Tensor metric(const json& description, bool keras3, DType floatx, const std::vector<MetricBatch>& batches) {
  const keras::Rules rules = keras::rules_for(keras3, floatx);
  auto metric = find(registry().metrics, description)(config_of(description), rules);
  auto variables = std::make_shared<Variables>();
  auto store = std::make_shared<VariableStore>(variables);
  at::NoGradGuard no_grad;
  for (const MetricBatch& batch : batches) {
    Graph graph(variables);
    Builder b(graph, libtorch_dialect());
    std::vector<at::Tensor> in;
    auto input = [&](const char* name, const at::Tensor& t) {
      if (!t.defined()) return Value{};
      in.push_back(t);
      return b.input(name, type_of(t));
    };
    Value t = input("y_true", batch.y_true), p = input("y_pred", batch.y_pred);
    Value m = input("mask", batch.mask), w = input("weight", batch.weight);
    metric->update(b, "m", t, p, m, w);
    b.outputs({});
    Executor(graph, store, true).run(in);
  }
  Graph graph(variables);
  Builder b(graph, libtorch_dialect());
  b.outputs({{"result", metric->result(b, "m")}});
  return Executor(graph, store, false).run({})[0];
}

std::vector<double> schedule(const json& description, const std::vector<int64_t>& steps) {
  Scratch s;
  at::NoGradGuard no_grad;
  Value step = s.b.input("step", {Kind::Tensor, DType::Int64, {}});
  s.b.outputs({{"rate", find(registry().schedules, description)(s.b, config_of(description), step)}});
  Executor run(s.graph, std::make_shared<VariableStore>(s.variables), false);
  std::vector<double> out;
  for (int64_t at : steps) out.push_back(run.run({at::scalar_tensor(at, at::kLong)})[0].item<double>());
  return out;
}

std::pair<at::Tensor, at::Tensor> regularizer(const json& description, bool keras3, const at::Tensor& w) {
  const keras::Rules rules = keras::rules_for(keras3, from_scalar_type(w.scalar_type()));
  at::Tensor leaf = w.detach().clone().set_requires_grad(true);
  Scratch s;
  Value v = s.input("w", leaf, true);
  return with_gradient(s, find(registry().regularizers, description)(s.b, config_of(description), rules, v), leaf);
}

at::Tensor constraint(const json& description, bool keras3, const at::Tensor& w) {
  const keras::Rules rules = keras::rules_for(keras3, from_scalar_type(w.scalar_type()));
  at::NoGradGuard no_grad;
  Scratch s;
  Value v = s.input("w", w, true);
  return s.run({find(registry().constraints, description)(s.b, config_of(description), rules, v)})[0];
}

std::map<std::string, at::Tensor> optimizer(const json& description, bool keras3, DType floatx,
                                            const std::vector<at::Tensor>& variables,
                                            const std::vector<std::vector<VariableGradient>>& steps) {
  auto table = std::make_shared<Variables>();
  std::vector<std::string> names;
  for (const at::Tensor& t : variables) {
    Variable v;
    v.name = fmt::format("v{}", names.size());
    v.dtype = from_scalar_type(t.scalar_type());
    v.source_dims = t.sizes().vec();
    v.trainable = true;
    v.layout_chooser = Variable::kLayoutFixed;
    v.initial = to_array(t.clone());
    names.push_back(v.name);
    table->add(std::move(v));
  }
  auto store = std::make_shared<VariableStore>(table);
  auto rules = keras::rules_for(keras3, floatx);
  OptimizerStep step(std::make_unique<keras::Optimizer>(description, rules, libtorch_dialect()), store, names, floatx);
  for (const auto& gradients : steps) step.apply(gradients, true);
  std::map<std::string, at::Tensor> out;
  for (size_t i = 0; i < table->size(); ++i) out[table->at(i).name] = to_source(table->at(i), store->tensor(i)).clone();
  return out;
}

}  // namespace midstream::probe
