#include "train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
#include "lower/registry.h"

namespace midstream {

namespace {

DType floatx_of(const keras::File& file) { return parse_dtype(file.floatx).value_or(DType::Float32); }

// Open are the number of samples and what is open in the output that it goes with: one graph for all lengths.
Type batch_type(const at::Tensor& t, const Dims& output) {
  Dims dims = t.sizes().vec();
  for (size_t axis = 0; axis < dims.size(); ++axis)
    if (axis == 0 || (axis < output.size() && output[axis] == kUnknown && dims[axis] != 1)) dims[axis] = kUnknown;
  return {Kind::Tensor, from_scalar_type(t.scalar_type()), dims};
}

at::Device device_of(const std::string& name) {
  at::Device device(at::kCPU);
  try {
    device = at::Device(name);
  } catch (const c10::Error&) {
    throw Error(ErrorKind::Usage, "device", "'" + name + "' is none that PyTorch knows.", "Give cpu or cuda.");
  }
  if (device.is_cuda() && !at::hasCUDA())
    throw Error(ErrorKind::Usage, "device", "there is no " + name + " here, or this libtorch was built without it.",
                "Give cpu.");
  return device;
}

struct RestoredSlot {
  std::string name;
  keras::FileArray array;
  std::optional<FileLayout> layout;
};

// The slots that the file has for a variable, in the variable's layout.
std::vector<RestoredSlot> slots_of(const keras::OptimizerState& state, const Variable& of) {
  std::vector<RestoredSlot> out;
  const auto first = state.slots.find(of.source);
  if (first == state.slots.end()) return out;
  for (const auto& [slot, array] : first->second) {
    if (!of.file_layout) {
      out.push_back({slot, array, std::nullopt});
      continue;
    }
    FileLayout layout = *of.file_layout;
    std::vector<Array> parts;
    for (size_t i = 0; i < layout.sources.size(); ++i) {
      const keras::FileArray& part = state.slots.at(layout.sources[i]).at(slot);
      layout.sources[i] = part.source;
      layout.names[i] = part.name;
      parts.push_back(part.array);
    }
    out.push_back({slot, {layout.sources[0], layout.names[0], layout.join(parts)}, layout});
  }
  return out;
}

}  // namespace

Trainer::Trainer(std::shared_ptr<keras::File> file, const RunOptions& options)
    : file_(std::move(file)), lowered_(keras::lower(*file_, libtorch_dialect())) {
  start_random_streams(options.random_step);
  variables_ = std::make_shared<VariableStore>(lowered_.graph->variables);
  const at::Device device = device_of(options.device);
  if (!device.is_cpu()) variables_->to(device);
  if (!options.compiled || !can_train()) return;
  wanted_targets_ = keras::wanted_targets(*file_);
  keras::restore_optimizer(*file_, *lowered_.host, *lowered_.graph->variables);
  if (!file_->compile.at("optimizer").is_null()) restore_optimizer();
}

// The counters of seeded random layers, which no file holds, start at `step`.
void Trainer::start_random_streams(int64_t step) {
  if (step == 0) return;
  for (Variable& v : *lowered_.graph->variables) {
    if (v.role != Role::Seed) continue;
    std::vector<int64_t> state = v.initial.to_int64();
    state.at(1) = step;
    v.initial = Array::of<int64_t>(DType::Int64, {2}, std::move(state));
  }
}

// Slots, step and learning rate of the file become the initial values of the optimizer's variables.
void Trainer::restore_optimizer() {
  auto optimizer =
      std::make_unique<keras::Optimizer>(file_->compile.at("optimizer"), keras::rules_of(*file_), libtorch_dialect());
  Variables& table = *variables_->variables();
  if (file_->optimizer) {
    const keras::OptimizerState& state = *file_->optimizer;
    auto add = [&](Variable v, const keras::FileArray& from, DType dtype) {
      v.initial = cast(from.array, dtype);
      v.source = from.source;
      v.dtype = dtype;
      if (!table.find(v.name)) table.add(std::move(v));
    };
    auto add_scalar = [&](const char* name, const keras::FileArray& from, DType dtype) {
      Variable v;
      v.name = name;
      v.role = Role::Step;
      keras::FileArray as = from;
      as.array = from.array.reshaped({});
      add(std::move(v), as, dtype);
    };
    if (state.iterations_array) add_scalar("optimizer/iteration", *state.iterations_array, DType::Int64);
    if (state.learning_rate && !optimizer->has_schedule())
      add_scalar("optimizer/learning_rate", *state.learning_rate, floatx_of(*file_));
    if (const auto& scale = optimizer->loss_scale(); scale && scale->dynamic) {
      if (state.step_counter) add_scalar("optimizer/step_counter", *state.step_counter, DType::Int64);
      if (state.dynamic_scale) add_scalar("optimizer/dynamic_scale", *state.dynamic_scale, DType::Float32);
    }
    for (const std::string& name : lowered_.trainable) {
      const Variable& of = *table.find(name);
      if (of.source.empty()) continue;
      for (auto& [slot, array, layout] : slots_of(state, of)) {
        Variable v;
        v.name = OptimizerStep::slot_variable(name, slot);
        v.role = Role::Slot;
        v.source_dims = of.source_dims;
        v.stored_as = of.stored_as;
        v.layout_chooser = Variable::kLayoutFixed;
        v.file_layout = layout;
        DType dtype = of.dtype;
        for (const auto& spec : optimizer->slots_of({name, of.source_dims})) {
          if (spec.name != slot) continue;
          dtype = spec.dtype.value_or(dtype);
          if (!spec.dims) continue;
          v.source_dims = *spec.dims;
          v.stored_as = {};
        }
        add(std::move(v), array, dtype);
        restored_ = true;
      }
    }
    restored_ |= state.iterations.value_or(0) > 0;
    for (const auto& slot : optimizer->scalars()) {
      Variable v;
      v.name = "optimizer/" + slot.name;
      v.role = Role::Slot;
      if (auto held = state.scalars.find(slot.name); held != state.scalars.end()) {
        add(std::move(v), held->second, floatx_of(*file_));
      } else if (state.iterations.value_or(0) > 0) {
        v.dtype = floatx_of(*file_);
        v.initial =
            cast(Array::of<double>(DType::Float64, {},
                                   {optimizer->scalar_after(slot.name, *state.iterations, lowered_.trainable.size())}),
                 v.dtype);
        if (!table.find(v.name)) table.add(std::move(v));
      }
    }
  }
  optimizer_ = std::make_unique<OptimizerStep>(std::move(optimizer), variables_, lowered_.trainable, floatx_of(*file_));
  if (lowered_.host->constraints.empty()) return;
  Graph graph(variables_->variables());
  graph.name = "constraints";
  Builder b(graph, libtorch_dialect());
  const keras::Rules rules = keras::rules_of(*file_);
  for (const keras::WeightRule& rule : lowered_.host->constraints) {
    if (!table.find(rule.variable)->trainable) continue;
    const std::string type = rule.config.at("class_name");
    Builder::At at(b, Origin{.path = rule.variable, .op = "keras." + type, .call = 0});
    const keras::ConstraintFn* fn = registry().constraints.find(type);
    if (!fn) b.fail(ErrorKind::Unsupported, fmt::format("the constraint {} has no lowering.", type));
    Value w = b.variable(rule.variable);
    b.assign(w, (*fn)(b, rule.config.value("config", nlohmann::json::object()), rules, w));
  }
  b.outputs({});
  constraints_ = std::make_unique<Executor>(graph, variables_, false);
}

std::vector<at::Tensor> Trainer::fit_inputs(const std::vector<at::Tensor>& x) const {
  const auto& inputs = lowered_.graph->inputs;
  if (x.size() != inputs.size())
    throw Error(ErrorKind::BadData, "data",
                fmt::format("there are {} input arrays, the model wants {}.", x.size(), inputs.size()));
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < x.size(); ++i) {
    const Type& type = lowered_.graph->type(inputs[i].value);
    at::Tensor t = x[i];
    const int64_t rank = static_cast<int64_t>(type.dims.size());
    // As Keras: an axis of size one at the end comes and goes.
    if (t.dim() == rank + 1 && t.size(-1) == 1) t = t.squeeze(-1);
    if (t.dim() == rank - 1 && type.dims.back() == 1) t = t.unsqueeze(-1);
    if (inputs[i].text && t.scalar_type() != at::kByte)
      throw Error(ErrorKind::BadData, "x:" + inputs[i].name, "holds numbers, the model wants strings.",
                  "Give a numpy array of str or bytes, or a list of str.");
    if (inputs[i].text && t.dim() == rank - 1 && rank > 2 && type.dims[static_cast<size_t>(rank - 2)] == 1)
      t = t.unsqueeze(-2);
    bool fits = t.dim() == rank;
    // The batch too, where layers that keep states fix its size.
    for (int64_t d = 0; fits && d < rank; ++d)
      fits = type.dims[static_cast<size_t>(d)] == kUnknown || type.dims[static_cast<size_t>(d)] == t.size(d);
    if (!fits)
      throw Error(
          ErrorKind::BadData, "x:" + inputs[i].name,
          fmt::format("has shape {}, the model wants {}.", to_string(Dims(x[i].sizes().vec())), to_string(type.dims)));
    out.push_back(t.to(variables_->device(), to_scalar_type(type.dtype)));
  }
  return out;
}

std::vector<at::Tensor> Trainer::predict(const std::vector<at::Tensor>& x) {
  at::NoGradGuard no_grad;
  if (!predictor_) predictor_ = std::make_unique<Executor>(*lowered_.graph, variables_, false);
  return predictor_->run(fit_inputs(x), false);
}

namespace {

// Floating targets and weights come in floatx, others as they are: what Keras' data adapters do.
at::Tensor target(const at::Tensor& t, DType floatx) {
  return t.is_floating_point() ? t.to(to_scalar_type(floatx)) : t;
}

}  // namespace

keras::StepData Trainer::data_of(const Batch& batch) const {
  keras::StepData data;
  const DType floatx = floatx_of(*file_);
  const auto output_dims = [&](size_t i) { return lowered_.graph->type(lowered_.graph->outputs.at(i).value).dims; };
  size_t next = 0;
  for (bool wanted : wanted_targets_) {
    data.targets.emplace_back();
    if (!wanted) continue;
    if (next >= batch.y.size())
      throw Error(ErrorKind::BadData, "data",
                  fmt::format("there are {} target arrays, the model has more outputs with a loss.", batch.y.size()));
    data.targets.back() = batch_type(target(batch.y[next++], floatx), output_dims(data.targets.size() - 1));
  }
  if (next != batch.y.size())
    throw Error(ErrorKind::BadData, "data",
                fmt::format("there are {} target arrays, the model wants {}.", batch.y.size(), next));
  for (size_t i = 0; i < wanted_targets_.size(); ++i) {
    data.weights.emplace_back();
    // One weight for all outputs, or one for each.
    const size_t k = batch.sample_weight.size() == 1 ? 0 : i;
    if (!data.targets[i] || k >= batch.sample_weight.size() || !batch.sample_weight[k].defined()) continue;
    data.weights.back() = batch_type(target(batch.sample_weight[k].to(to_scalar_type(floatx)), floatx), output_dims(i));
  }
  return data;
}

Trainer::Step& Trainer::step_for(const Batch& batch) {
  if (!can_train())
    throw Error(ErrorKind::Usage, file_->path, "was never compiled: there is no loss to train with.",
                "Call model.compile() in Keras and save the model again.");
  keras::StepData data = data_of(batch);
  if (last_ && last_->data == data) return *last_;
  for (auto& step : steps_)
    if (step->data == data) return *(last_ = step.get());
  auto step = std::make_unique<Step>();
  step->data = data;
  step->graph = keras::lower_step(*file_, libtorch_dialect(), variables_->variables(), data);
  step->sizes = ValueSizes(*step->graph.graph);
  std::vector<Type> outputs;
  for (size_t i = 1; i < step->graph.graph->outputs.size(); ++i)
    outputs.push_back(step->graph.graph->type(step->graph.graph->outputs[i].value));
  auto results = keras::lower_results(*file_, libtorch_dialect(), variables_->variables(), data, outputs);
  for (const Output& o : results->outputs) step->names.push_back(o.name);
  step->results = std::make_unique<Executor>(*results, variables_, false);
  step->train = std::make_unique<Executor>(*step->graph.graph, variables_, true);
  step->test = std::make_unique<Executor>(*step->graph.graph, variables_, false);
  steps_.push_back(std::move(step));
  return *(last_ = steps_.back().get());
}

std::vector<at::Tensor> Trainer::step_inputs(const Step& step, const Batch& batch) const {
  std::vector<at::Tensor> in = fit_inputs(batch.x);
  const at::Device device = variables_->device();
  const DType floatx = floatx_of(*file_);
  size_t next = 0;
  for (const auto& t : step.data.targets)
    if (t) in.push_back(target(batch.y[next++], floatx).to(device));
  for (size_t i = 0; i < step.data.weights.size(); ++i)
    if (step.data.weights[i])
      in.push_back(batch.sample_weight[batch.sample_weight.size() == 1 ? 0 : i].to(device, to_scalar_type(floatx)));
  return in;
}

namespace {

VariableGradient as_gradient(const at::Tensor& g) {
  if (!g.defined() || g.layout() != c10::kSparse) return {g, {}};
  return {g._values(), g._indices()[0]};
}

// Several uses of a table, and dense ones, as TensorFlow adds them up: occurrences are put behind one another, unless
// one part is dense, then all are. The latest use comes first.
VariableGradient combine(const at::Tensor& dense, const std::vector<at::Tensor>& uses, const at::Tensor& like) {
  if (!dense.defined()) {
    std::vector<at::Tensor> values, indices;
    for (size_t i = uses.size(); i-- > 0;) {
      if (!uses[i].defined()) continue;
      VariableGradient g = as_gradient(uses[i]);
      if (!g.indices.defined()) return combine(g.values, {uses.begin(), uses.begin() + static_cast<long>(i)}, like);
      values.push_back(g.values), indices.push_back(g.indices);
    }
    if (values.empty()) return {};
    if (values.size() == 1) return {values[0], indices[0]};
    return {at::cat(values), at::cat(indices)};
  }
  at::Tensor sum = dense.clone();
  for (const at::Tensor& use : uses) {
    if (!use.defined()) continue;
    VariableGradient g = as_gradient(use);
    sum = sum + (g.indices.defined() ? at::zeros_like(like).index_add(0, g.indices, g.values) : g.values);
  }
  return {sum, {}};
}

}  // namespace

Run::Gradients Trainer::gradients(const Batch& batch, std::vector<VariableGradient>* out, double scale) {
  Step& step = step_for(batch);
  std::vector<at::Tensor> in = step_inputs(step, batch);
  std::vector<at::Tensor> wanted;
  for (const std::string& name : lowered_.trainable) wanted.push_back(variables_->tensor(name));
  for (const keras::TableUse& use : step.graph.tables) {
    wanted.push_back(variables_->tensor(use.variable).detach().set_requires_grad(true));
    in.push_back(wanted.back());
  }
  const int64_t samples = in.empty() || in[0].dim() == 0 ? 1 : in[0].size(0);
  const SerialProducts small(variables_->device().is_cpu() && step.sizes.largest(samples) <= SerialProducts::kSmall);
  at::AutoGradMode grad(true);
  std::vector<at::Tensor> outputs = step.train->run(in);
  at::Tensor loss = outputs[0];
  outputs.clear();
  Run::Gradients result;
  std::vector<at::Tensor> g(wanted.size());
  if (loss.requires_grad())
    g = torch::autograd::grad({loss}, wanted, {at::full_like(loss, scale)}, /*retain_graph=*/false, /*create_graph=*/false,
                              /*allow_unused=*/true);
  at::NoGradGuard no_grad;
  const size_t n = lowered_.trainable.size();
  std::vector<VariableGradient> combined(n);
  for (size_t i = 0; i < n; ++i) {
    std::vector<at::Tensor> uses;
    for (size_t k = 0; k < step.graph.tables.size(); ++k)
      if (step.graph.tables[k].variable == lowered_.trainable[i]) uses.push_back(g[n + k]);
    combined[i] = uses.empty() ? as_gradient(g[i]) : combine(g[i], uses, wanted[i].detach());
  }
  result.loss = loss.item<double>();
  if (out) *out = std::move(combined);
  return result;
}

double Trainer::train(const Batch& batch) {
  if (!optimizer_)
    throw Error(ErrorKind::Usage, file_->path, "holds no optimizer to train with.",
                "Call model.compile(optimizer=...) in Keras and save the model again.");
  std::vector<VariableGradient> g;
  const double loss = gradients(batch, &g, optimizer_->loss_scale()).loss;
  apply(std::move(g), true);
  return loss;
}

void Trainer::apply(std::vector<VariableGradient> gradients, bool scaled) {
  if (!optimizer_->apply(std::move(gradients), scaled) || !constraints_) return;
  at::NoGradGuard no_grad;
  constraints_->run({});
}

double Trainer::test(const Batch& batch) {
  at::NoGradGuard no_grad;
  Step& step = step_for(batch);
  std::vector<at::Tensor> in = step_inputs(step, batch);
  for (const keras::TableUse& use : step.graph.tables) in.push_back(variables_->tensor(use.variable));
  return step.test->run(in)[0].item<double>();
}

Logs Trainer::results() {
  Logs logs;
  if (!last_) return logs;
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> values = last_->results->run({});
  for (size_t i = 0; i < values.size(); ++i) {
    at::Tensor flat = values[i].reshape({-1}).to(at::kDouble).cpu();
    for (int64_t k = 0; k < flat.numel(); ++k)
      logs.emplace_back(flat.numel() == 1 ? last_->names[i] : fmt::format("{}_{}", last_->names[i], k),
                        flat[k].item<double>());
  }
  return logs;
}

void Trainer::reset_metrics() {
  at::NoGradGuard no_grad;
  const Variables& table = *variables_->variables();
  for (size_t i = 0; i < table.size(); ++i)
    if (table.at(i).role == Role::Metric) variables_->tensor(i).zero_();
}

}  // namespace midstream
