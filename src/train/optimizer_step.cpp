#include "train/optimizer_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
#include "libtorch/pointwise.h"
#include "passes/pass_manager.h"
#include "train/segments.h"

namespace midstream {

namespace {

// Variables up to this size are joined; bigger ones are worked on in pieces of this size: with a rule's temporaries
// they stay in a core's cache.
constexpr int64_t kPiece = 1 << 15;

const char* const kIteration = "optimizer/iteration";
const char* const kRate = "optimizer/learning_rate";
const char* const kScale = "optimizer/dynamic_scale";
const char* const kGoodSteps = "optimizer/step_counter";

Array filled(DType dtype, const Dims& dims, double value) {
  at::Tensor t = at::full(dims, value, at::TensorOptions().dtype(to_scalar_type(dtype)));
  return to_array(t);
}

Variable scalar(const std::string& name, DType dtype, double value, Role role) {
  Variable v;
  v.name = name;
  v.dtype = dtype;
  v.role = role;
  v.initial = filled(dtype, {}, value);
  return v;
}

}  // namespace

struct OptimizerStep::Prepared {
  std::vector<at::Tensor> values;  // 0-d, on the CPU
  at::Tensor momentum, overwrite;
};

// Which variables have which kind of gradient, and their memory.
struct OptimizerStep::Plan {
  std::vector<int> kinds;           // 0 none, 1 dense, 2 occurrences
  std::vector<const void*> memory;  // of the variables: whoever holds them may give them other memory (a loaded state)
  std::vector<Segment> segments;    // of the dense ones
  std::map<DType, std::optional<PointwiseProgram>> programs;  // the rule as one loop, where it is plain arithmetic
};

OptimizerStep::OptimizerStep(std::unique_ptr<keras::Optimizer> optimizer, std::shared_ptr<VariableStore> variables,
                             std::vector<std::string> trainable, DType floatx)
    : optimizer_(std::move(optimizer)),
      variables_(std::move(variables)),
      trainable_(std::move(trainable)),
      floatx_(floatx) {
  here_ = std::make_shared<VariableStore>(std::make_shared<Variables>());
  here_->to(variables_->device());
  host_ = std::make_shared<VariableStore>(std::make_shared<Variables>());
  create_variables(floatx);
}

OptimizerStep::~OptimizerStep() = default;

void OptimizerStep::create_variables(DType floatx) {
  Variables& table = *variables_->variables();
  auto add = [&](Variable v) {
    if (!table.find(v.name)) table.add(std::move(v));
  };
  add(scalar(kIteration, DType::Int64, 0, Role::Step));
  if (!optimizer_->has_schedule()) add(scalar(kRate, floatx, optimizer_->learning_rate(), Role::Step));
  if (const auto& scale = optimizer_->loss_scale(); scale && scale->dynamic) {
    add(scalar(kGoodSteps, DType::Int64, 0, Role::Step));
    add(scalar(kScale, DType::Float32, scale->initial, Role::Step));
  }
  auto slot = [&](const Variable& of, const keras::Optimizer::Slot& spec) {
    Variable v;
    v.name = slot_variable(of.name, spec.name);
    v.dtype = spec.dtype.value_or(of.dtype);
    v.source_dims = spec.dims.value_or(of.source_dims);
    if (!spec.dims) v.stored_as = of.stored_as;
    v.layout_chooser = Variable::kLayoutFixed;
    v.role = Role::Slot;
    if (spec.initial != 0) v.initial = filled(v.dtype, v.source_dims, spec.initial);
    // A copy: the variable is trained in place before anybody asks for it.
    if (spec.copies_variable) v.initial = to_array(to_source(of, variables_->tensor(of.name)).clone());
    add(std::move(v));
  };
  for (const std::string& name : trainable_) {
    const Variable& variable = *table.find(name);
    if (optimizer_->keeps_average())
      slot(variable, {.name = "average", .copies_variable = optimizer_->average_starts_as_variable()});
    if (optimizer_->accumulation() > 1) slot(variable, {.name = "gradient_accumulator"});
    for (const auto& s : slots_of(variable)) slot(variable, s);
  }
  const DType dtype = trainable_.empty() ? floatx : table.find(trainable_[0])->dtype;
  for (const auto& s : optimizer_->scalars()) add(scalar("optimizer/" + s.name, dtype, s.initial, Role::Slot));
}

std::vector<keras::Optimizer::Slot> OptimizerStep::slots_of(const Variable& variable) const {
  return optimizer_->slots_of({variable.name, variable.source_dims});
}

void OptimizerStep::forget() { plan_.reset(); }

int64_t OptimizerStep::iterations() { return variables_->tensor(kIteration).item<int64_t>(); }

double OptimizerStep::learning_rate() {
  if (!optimizer_->has_schedule()) return variables_->tensor(kRate).item<double>();
  const Executor& run = executor("schedule", [&] { return optimizer_->schedule(); });
  return run.run({at::scalar_tensor(iterations(), at::kLong)})[0].item<double>();
}

void OptimizerStep::set_learning_rate(double value) {
  if (optimizer_->has_schedule())
    throw Error(ErrorKind::Usage, "optimizer", "follows a learning-rate schedule, its learning rate cannot be set.");
  variables_->tensor(kRate).fill_(value);
}

const Executor& OptimizerStep::executor(const std::string& key, const std::function<std::unique_ptr<Graph>()>& graph) {
  auto& slot = executors_[key];
  // What is computed once per step is computed on the CPU; kernels take such numbers on any device.
  bool host = key.starts_with("prepare") || key == "schedule";
  if (!slot) slot = std::make_unique<Executor>(*graph(), host ? host_ : here_, false);
  return *slot;
}

OptimizerStep::Prepared OptimizerStep::prepare(DType dtype, bool advance) {
  const Executor& run =
      executor(fmt::format("prepare {}", to_string(dtype)), [&] { return optimizer_->prepare(dtype); });
  std::vector<at::Tensor> in{variables_->tensor(kIteration).detach().cpu()};
  in.push_back(optimizer_->has_schedule() ? at::zeros({}, to_scalar_type(floatx_)) : variables_->tensor(kRate).cpu());
  for (const auto& s : optimizer_->scalars()) in.push_back(variables_->tensor("optimizer/" + s.name).cpu());
  Prepared out{run.run(in), {}, {}};
  if (optimizer_->keeps_average()) {
    out.overwrite = out.values.back();
    out.values.pop_back();
    out.momentum = out.values.back();
    out.values.pop_back();
  }
  for (size_t i = optimizer_->scalars().size(); i-- > 0;) {
    if (advance) variables_->tensor("optimizer/" + optimizer_->scalars()[i].name).copy_(out.values.back());
    out.values.pop_back();
  }
  return out;
}

namespace {

keras::GradientType type_of(const Variable& variable, bool slices) {
  return {Type{Kind::Tensor, variable.dtype, variable.dims()}, slices};
}

keras::GradientType piece_of(DType dtype) { return {Type{Kind::Tensor, dtype, {kUnknown}}, false}; }

// The rule on elements first..last-1 of a segment: reads and writes the variables' memory itself. `gradients`: of all
// variables, in their memory order.
void run_pieces(const PointwiseProgram& program, const Segment& segment, const std::vector<at::Tensor>& gradients,
                const std::vector<at::Tensor>& shared, int64_t first, int64_t last) {
  const auto width = static_cast<int64_t>(segment.vectors[0].element_size());
  std::vector<const void*> in;
  std::vector<void*> out;
  auto k = static_cast<size_t>(std::upper_bound(segment.offsets.begin(), segment.offsets.end(), first) -
                               segment.offsets.begin() - 1);
  for (; k < segment.members.size() && segment.offsets[k] < last; ++k) {
    const at::Tensor& gradient = gradients[segment.members[k]];
    const int64_t begin = segment.offsets[k], from = std::max(first, begin);
    const int64_t to = std::min(last, begin + gradient.numel());
    if (from >= to) continue;
    out.clear();
    for (const at::Tensor& v : segment.vectors) out.push_back(static_cast<char*>(v.data_ptr()) + from * width);
    in.assign(out.begin(), out.end());
    in.insert(in.begin() + 1, static_cast<const char*>(gradient.const_data_ptr()) + (from - begin) * width);
    for (const at::Tensor& number : shared) in.push_back(number.const_data_ptr());
    program.run(in, out, to - from);
  }
}

// Runs `work(first, last)` over pieces of all segments, in parallel on the CPU.
void for_pieces(const std::vector<Segment>& segments,
                const std::function<void(size_t segment, int64_t, int64_t)>& work) {
  struct Piece {
    size_t segment;
    int64_t first, last;
  };
  std::vector<Piece> pieces;
  for (size_t s = 0; s < segments.size(); ++s) {
    const int64_t n = segments[s].size();
    const int64_t step = segments[s].vectors[0].is_cpu() ? kPiece : std::max<int64_t>(n, 1);
    for (int64_t first = 0; first < n; first += step) pieces.push_back({s, first, std::min(n, first + step)});
  }
  auto run = [&](int64_t from, int64_t to) {
    at::NoGradGuard no_grad;
    for (int64_t i = from; i < to; ++i)
      work(pieces[static_cast<size_t>(i)].segment, pieces[static_cast<size_t>(i)].first,
           pieces[static_cast<size_t>(i)].last);
  };
  if (pieces.size() < 3) return run(0, static_cast<int64_t>(pieces.size()));
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1, run);
}

}  // namespace

double OptimizerStep::loss_scale() {
  const auto& scale = optimizer_->loss_scale();
  if (!scale) return 1;
  return scale->dynamic ? variables_->tensor(kScale).item<double>() : scale->initial;
}

bool OptimizerStep::unscale(std::vector<VariableGradient>& gradients, bool scaled) {
  const auto& rule = optimizer_->loss_scale();
  if (!rule) return true;
  const double scale = scaled ? loss_scale() : 1;
  // Keras 2 looks at the gradients after it has unscaled them, which is the same but for what overflows there.
  at::Tensor finite;
  for (VariableGradient& g : gradients) {
    if (!g.values.defined()) continue;
    at::Tensor unscaled = g.values;
    if (scale != 1 && rule->keras3) unscaled = g.values / scale;
    if (scale != 1 && !rule->keras3)
      unscaled = g.values * at::scalar_tensor(1.0F / static_cast<float>(scale), at::kFloat).to(g.values.scalar_type());
    if (rule->dynamic) {
      const at::Tensor here = at::isfinite(rule->keras3 ? g.values : unscaled).all();
      finite = finite.defined() ? at::logical_and(finite, here) : here;
    }
    g.values = unscaled;
  }
  if (!rule->dynamic || !finite.defined()) return true;
  const bool good = finite.item<bool>();
  at::Tensor &counter = variables_->tensor(kGoodSteps), &now = variables_->tensor(kScale);
  if (!good) {
    counter.zero_();
    now.mul_(0.5);
    if (!rule->keras3) now.clamp_min_(1);
    return false;
  }
  const int64_t steps = counter.item<int64_t>() + 1;
  if (rule->keras3 ? steps != rule->growth_steps : steps < rule->growth_steps) {
    counter.fill_(steps);
    return true;
  }
  counter.zero_();
  const at::Tensor doubled = now * 2.0;
  if (rule->keras3 || at::isfinite(doubled).item<bool>()) now.copy_(doubled);
  return true;
}

bool OptimizerStep::apply(std::vector<VariableGradient> gradients, bool scaled) {
  at::NoGradGuard no_grad;
  if (!unscale(gradients, scaled)) {
    if (!optimizer_->loss_scale()->keras3) variables_->tensor(kIteration).add_(1);
    return false;
  }
  bool updates = accumulate(gradients);
  std::map<DType, Prepared> prepared;
  const Variables& table = *variables_->variables();
  for (const std::string& name : trainable_) {
    const DType dtype = table.find(name)->dtype;
    if (!prepared.count(dtype)) prepared.emplace(dtype, prepare(dtype, updates && prepared.empty()));
  }
  if (updates) {
    clip(gradients);
    update(gradients, prepared);
  }
  if (optimizer_->keeps_average()) average(prepared);
  variables_->tensor(kIteration).add_(1);
  return true;
}

// Returns whether the variables are updated in this step; the gradients are then the means of the accumulated ones.
bool OptimizerStep::accumulate(std::vector<VariableGradient>& gradients) {
  const int64_t every = optimizer_->accumulation();
  if (every <= 1) return true;
  const bool updates = (iterations() + 1) % every == 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].values.defined()) continue;
    const Variable& variable = *variables_->variables()->find(trainable_[i]);
    at::Tensor& sum = variables_->tensor(slot_variable(variable.name, "gradient_accumulator"));
    const bool slices = gradients[i].indices.defined();
    const Executor& run = executor(fmt::format("accumulate {} {} {}", variable.name, slices, updates),
                                   [&] { return optimizer_->accumulate(type_of(variable, slices), updates); });
    std::vector<at::Tensor> in{sum, gradients[i].values};
    if (slices) in.push_back(gradients[i].indices);
    at::Tensor out = run.run(in)[0];
    if (updates) {
      gradients[i] = {out, {}};
      sum.zero_();
    } else {
      sum.copy_(out);
    }
  }
  return updates;
}

void OptimizerStep::clip(std::vector<VariableGradient>& gradients) {
  if (!optimizer_->clips()) return;
  // All at once where the norm is over all of them, one by one otherwise.
  std::vector<std::vector<size_t>> groups;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].values.defined()) continue;
    if (groups.empty() || !optimizer_->clips_all_together()) groups.emplace_back();
    groups.back().push_back(i);
  }
  for (const auto& group : groups) {
    std::string key = "clip";
    std::vector<keras::GradientType> types;
    std::vector<at::Tensor> in;
    for (size_t i : group) {
      const bool slices = gradients[i].indices.defined();
      types.push_back(type_of(*variables_->variables()->find(trainable_[i]), slices));
      key += fmt::format(" {}{}", i, slices ? "s" : "");
      in.push_back(gradients[i].values);
      if (!slices) continue;
      in.push_back(gradients[i].indices);
      in.push_back(variables_->tensor(trainable_[i]).detach());
    }
    std::vector<at::Tensor> out = executor(key, [&] { return optimizer_->clip(types); }).run(in);
    for (size_t k = 0; k < group.size(); ++k) {
      gradients[group[k]].values = out[k];
      if (optimizer_->clip_makes_dense()) gradients[group[k]].indices.reset();
    }
  }
}

const PointwiseProgram* OptimizerStep::program(DType dtype, size_t prepared) {
  auto found = plan_->programs.find(dtype);
  if (found == plan_->programs.end()) {
    auto graph = optimizer_->update(piece_of(dtype), prepared);
    run_passes(*graph, libtorch_dialect(), {.training = false});
    found = plan_->programs.emplace(dtype, PointwiseProgram::compile(*graph)).first;
  }
  return found->second ? &*found->second : nullptr;
}

void OptimizerStep::update(const std::vector<VariableGradient>& gradients, const std::map<DType, Prepared>& prepared) {
  std::vector<int> kinds;
  for (const VariableGradient& g : gradients) kinds.push_back(!g.values.defined() ? 0 : g.indices.defined() ? 2 : 1);
  if (!optimizer_->elementwise()) {
    for (size_t i = 0; i < gradients.size(); ++i)
      if (kinds[i] != 0)
        update_whole(trainable_[i], gradients[i], prepared.at(variables_->variables()->find(trainable_[i])->dtype));
    return;
  }
    auto names_of = [&](const std::string& variable) {
    std::vector<std::string> names{variable};
    for (const auto& s : optimizer_->rule_slots()) names.push_back(slot_variable(variable, s.name));
    return names;
  };
  std::vector<const void*> memory;
  for (const std::string& name : trainable_) memory.push_back(variables_->tensor(name).const_data_ptr());
  if (!plan_ || plan_->kinds != kinds || plan_->memory != memory) {
    plan_ = std::make_unique<Plan>();
    plan_->kinds = kinds;
    std::vector<std::vector<std::string>> names;
    std::vector<size_t> which;
    for (size_t i = 0; i < kinds.size(); ++i)
      if (kinds[i] == 1) names.push_back(names_of(trainable_[i])), which.push_back(i);
    plan_->segments = make_segments(*variables_, names, kPiece);
    for (Segment& s : plan_->segments)
      for (size_t& m : s.members) m = which[m];
    for (const std::string& name : trainable_) plan_->memory.push_back(variables_->tensor(name).const_data_ptr());
  }
  std::vector<at::Tensor> dense(gradients.size());  // in their variables' memory order
  for (size_t i = 0; i < gradients.size(); ++i)
    if (kinds[i] == 1) dense[i] = in_layout_of(gradients[i].values, variables_->tensor(trainable_[i]));
  std::vector<const PointwiseProgram*> programs;
  std::vector<at::Tensor> joined_gradients;  // these two where the rule has to be executed
  std::vector<const Executor*> runs;
  for (const Segment& s : plan_->segments) {
    const DType dtype = from_scalar_type(s.vectors[0].scalar_type());
    const size_t n = prepared.at(dtype).values.size();
    programs.push_back(s.vectors[0].is_cpu() ? program(dtype, n) : nullptr);
    joined_gradients.emplace_back();
    runs.push_back(nullptr);
    if (programs.back()) continue;
    joined_gradients.back() = joined(s, dense);
    runs.back() =
        &executor(fmt::format("update {}", to_string(dtype)), [&] { return optimizer_->update(piece_of(dtype), n); });
  }
  for_pieces(plan_->segments, [&](size_t s, int64_t first, int64_t last) {
    const Segment& segment = plan_->segments[s];
    const auto& shared = prepared.at(from_scalar_type(segment.vectors[0].scalar_type())).values;
    if (programs[s]) return run_pieces(*programs[s], segment, dense, shared, first, last);
    std::vector<at::Tensor> in;
    for (const at::Tensor& v : segment.vectors) in.push_back(v.slice(0, first, last));
    std::vector<at::Tensor> targets = in;
    in.insert(in.begin() + 1, joined_gradients[s].slice(0, first, last));
    in.insert(in.end(), shared.begin(), shared.end());
    std::vector<at::Tensor> out = runs[s]->run(in);
    for (size_t k = 0; k < targets.size(); ++k) targets[k].copy_(out[k]);
  });
  for (size_t i = 0; i < gradients.size(); ++i)
    if (kinds[i] == 2)
      update_whole(trainable_[i], gradients[i], prepared.at(variables_->variables()->find(trainable_[i])->dtype));
}

void OptimizerStep::update_whole(const std::string& name, const VariableGradient& gradient, const Prepared& prepared) {
  const Variable& variable = *variables_->variables()->find(name);
  const keras::TrainedVariable of{variable.name, variable.source_dims};
  const bool rows = gradient.indices.defined();
  // Occurrences are rows of the table as it is stored. It is stored as in the file, but for an elementwise rule either
  // layout would do.
  const bool as_in_file = !optimizer_->elementwise();
  if (as_in_file && rows && !variable.stored_as.empty())
    throw Error(ErrorKind::Unsupported, name, "is a table that is stored otherwise than its file has it.");
  std::vector<const Variable*> owners{&variable};
  for (const auto& s : slots_of(variable))
    owners.push_back(variables_->variables()->find(slot_variable(name, s.name)));
  const Executor& run = executor(fmt::format("update whole {} {}", name, rows), [&] {
    keras::GradientType type = type_of(variable, rows);
    if (as_in_file) type.variable.dims = variable.source_dims;
    return optimizer_->update(type, prepared.values.size(), as_in_file ? &of : nullptr);
  });
  const auto seen = [&](const Variable& v, const at::Tensor& t) {
    return as_in_file ? midstream::apply(inverse(v.stored_as), t) : t;
  };
  std::vector<at::Tensor> targets, in;
  for (const Variable* v : owners) {
    targets.push_back(variables_->tensor(v->name).detach());
    in.push_back(seen(*v, targets.back()));
  }
  std::vector<at::Tensor> of_gradient{rows ? gradient.values : seen(variable, gradient.values)};
  if (rows) of_gradient.push_back(gradient.indices);
  in.insert(in.begin() + 1, of_gradient.begin(), of_gradient.end());
  in.insert(in.end(), prepared.values.begin(), prepared.values.end());
  const std::vector<at::Tensor> out = run.run(in);
  for (size_t k = 0; k < targets.size(); ++k)
    targets[k].copy_(as_in_file ? from_source(*owners[k], out[k]) : out[k]);
}

void OptimizerStep::average(const std::map<DType, Prepared>& prepared) {
  for (const std::string& name : trainable_) {
    const Variable& variable = *variables_->variables()->find(name);
    const Prepared& p = prepared.at(variable.dtype);
    at::Tensor value = variables_->tensor(name).detach(), mean = variables_->tensor(slot_variable(name, "average"));
    const Executor& run =
        executor("average " + name, [&] { return optimizer_->average(type_of(variable, false).variable); });
    std::vector<at::Tensor> out = run.run({mean, value, p.momentum, p.overwrite});
    mean.copy_(out[0]);
    value.copy_(out[1]);
  }
}

void OptimizerStep::finalize() {
  if (!optimizer_->keeps_average()) return;
  at::NoGradGuard no_grad;
  for (const std::string& name : trainable_)
    variables_->tensor(name).detach().copy_(variables_->tensor(slot_variable(name, "average")));
}

}  // namespace midstream
