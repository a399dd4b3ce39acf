#include "lower/keras/optimizer_graphs.h"

#include <fmt/format.h>

#include <utility>

#include "lower/keras/optimizer_rule.h"
#include "lower/registry.h"

namespace midstream::keras {

SlotRuns slot_runs(const json& description, const TrainedVariable& variable) {
  const OptimizerFn* make = registry().optimizers.find(description.at("class_name"));
  if (!make) return {};
  const json config = description.value("config", json::object());
  SlotRuns runs;
  if (flag(config, "use_ema", false)) runs.push_back({{.name = "average"}});
  if (integer(config, "gradient_accumulation_steps", 1) > 1) runs.push_back({{.name = "gradient_accumulator"}});
  int last = -1;
  for (const auto& slot : (*make)(config)->slots_of(variable)) {
    if (std::exchange(last, slot.run) != slot.run) runs.emplace_back();
    runs.back().push_back(slot);
  }
  return runs;
}

struct Optimizer::Draft {
  Draft(const Dialect& dialect, const char* name, const std::string& optimizer)
      : graph(std::make_unique<Graph>(std::make_shared<Variables>())),
        b(*graph, dialect),
        origin(b, Origin{.path = "optimizer", .op = "keras." + optimizer, .call = 0}) {
    graph->name = name;
  }
  std::unique_ptr<Graph> finish(const Values& results) {
    std::vector<Output> outputs;
    for (size_t i = 0; i < results.size(); ++i) outputs.push_back({fmt::format("out_{}", i), results[i]});
    b.outputs(std::move(outputs));
    return std::move(graph);
  }
  std::unique_ptr<Graph> graph;
  Builder b;
  Builder::At origin;
};

Optimizer::Optimizer(const json& description, const Rules& rules, const Dialect& dialect)
    : dialect_(dialect), rules_(rules) {
  class_name_ = description.at("class_name");
  config_ = description.value("config", json::object());
  const OptimizerFn* make = registry().optimizers.find(class_name_);
  if (!make)
    throw Error(ErrorKind::Unsupported, "optimizer", fmt::format("keras.{} has no lowering yet.", class_name_));
  if (class_name_ == "AdamW" && !has(config_, "weight_decay")) config_["weight_decay"] = 0.004;
  rule_ = (*make)(config_);
  legacy_ = era_of(config_) == Era::Legacy;
  if (rule_->elementwise()) rule_slots_ = rule_->slots();
  scalars_ = rule_->scalars();
  if (has(config_, "learning_rate") && config_.at("learning_rate").is_object()) {
    const json& s = config_.at("learning_rate");
    const std::string name = s.at("class_name");
    schedule_ = registry().schedules.find(name);
    schedule_config_ = s.value("config", json::object());
    if (!schedule_)
      throw Error(ErrorKind::Unsupported, "optimizer", fmt::format("the schedule {} has no lowering yet.", name));
  } else {
    learning_rate_ = number(config_, "learning_rate", rule_->default_learning_rate());
    // Hyperparameters of legacy optimizers are float32 variables.
    if (legacy_) learning_rate_ = through_float32(learning_rate_);
  }
  // Legacy Nadam has an entry of this name that is about its momentum.
  decay_ = legacy_ && class_name_ == "Nadam" ? 0 : through_float32(number(config_, "decay", 0));
  weight_decay_ = through_float32(number(config_, "weight_decay", 0));
  clip_norm_ = number(config_, "clipnorm", 0);
  clip_value_ = number(config_, "clipvalue", 0);
  global_norm_ = number(config_, "global_clipnorm", 0);
  if (!legacy_) {  // these take one: the norm before the global norm before the value
    if (clip_norm_ > 0) global_norm_ = 0;
    if (clip_norm_ > 0 || global_norm_ > 0) clip_value_ = 0;
  }
  ema_ = flag(config_, "use_ema", false);
  ema_momentum_ = number(config_, "ema_momentum", 0.99);
  ema_overwrite_ = integer(config_, "ema_overwrite_frequency", 0);
  accumulation_ = std::max<int64_t>(1, integer(config_, "gradient_accumulation_steps", 1));
  const bool keras3 = era_of(config_) == Era::Keras3;
  if (has(config_, "loss_scale")) {  // the factor of an optimizer inside another counts for nothing
    const json& scale = config_.at("loss_scale");
    loss_scale_ = {flag(scale, "dynamic", true), through_float32(number(scale, "initial_scale", 32768)),
                   integer(scale, "dynamic_growth_steps", 2000), keras3};
  } else if (has(config_, "loss_scale_factor")) {
    loss_scale_ = {.initial = number(config_, "loss_scale_factor", 1)};
  }
}

bool Optimizer::average_starts_as_variable() const { return era_of(config_) != Era::Keras3; }

std::unique_ptr<Graph> Optimizer::schedule() const {
  if (!schedule_) return nullptr;
  Draft d(dialect_, "schedule", class_name_);
  Value step = d.b.input("step", {Kind::Tensor, DType::Int64, {}});
  return d.finish({(*schedule_)(d.b, schedule_config_, step)});
}

size_t Optimizer::prepared_count(DType dtype) const {
  return prepare(dtype)->outputs.size() - scalars_.size() - (ema_ ? 2 : 0);
}

std::unique_ptr<Graph> Optimizer::prepare(DType dtype) const {
  Draft d(dialect_, "prepare", class_name_);
  Builder& b = d.b;
  Value batches = b.input("step", {Kind::Tensor, DType::Int64, {}});
  Value rate = b.input("learning_rate", {Kind::Tensor, rules_.floatx, {}});
  Values scalars;
  for (const Slot& s : scalars_) scalars.push_back(b.input(s.name, {Kind::Tensor, dtype, {}}));
  // Schedules see every batch, the rule only the updates.
  if (schedule_) rate = (*schedule_)(b, schedule_config_, batches);
  Value step = batches;
  if (accumulation_ > 1)
    step = b.call("aten::div.Scalar_mode", {{"self", batches}, {"other", accumulation_}, {"rounding_mode", "floor"}});
  if (decay_ > 0) {
    rate = b.cast(rate, dtype);
    rate = b.div(rate, b.add(b.mul(b.cast(step, dtype), decay_), 1.0));
  }
  auto [values, new_scalars] = rule_->prepare(b, rate, step, scalars, dtype);
  Values out = values;
  out.insert(out.end(), new_scalars.begin(), new_scalars.end());
  if (ema_) {
    // Keras 3 starts the average at the first step with a momentum of zero.
    Value momentum = b.constant(ema_momentum_, dtype);
    if (era_of(config_) == Era::Keras3) momentum = b.mul(b.cast(b.compare("ne", step, 0.0), dtype), ema_momentum_);
    out.push_back(momentum);
    Value next = b.call("aten::add.Scalar", {{"self", step}, {"other", 1}});
    Value rest = b.call("aten::remainder.Scalar", {{"self", next}, {"other", std::max<int64_t>(1, ema_overwrite_)}});
    Value overwrite = b.compare("eq", rest, 0.0);
    out.push_back(ema_overwrite_ > 0 ? overwrite : b.logical_and(overwrite, b.logical_not(overwrite)));
  }
  return d.finish(out);
}

Values Optimizer::gradient_inputs(Builder& b, const GradientType& type, Gradient& out) const {
  Dims dims = type.variable.dims;
  if (type.slices) dims[0] = kUnknown;
  out.values = b.input("gradient", {Kind::Tensor, type.variable.dtype, dims});
  if (type.slices) out.indices = b.input("indices", {Kind::Tensor, DType::Int64, {kUnknown}});
  return {out.values};
}

std::unique_ptr<Graph> Optimizer::clip(const std::vector<GradientType>& types) const {
  Draft d(dialect_, "clip", class_name_);
  Builder& b = d.b;
  std::vector<Gradient> gradients(types.size());
  Values variables(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    gradient_inputs(b, types[i], gradients[i]);
    if (types[i].slices) variables[i] = b.input("variable", types[i].variable);
  }
  if (clip_value_ > 0)
    for (Gradient& g : gradients) g.values = b.clamp(g.values, -clip_value_, clip_value_);
  if (clip_norm_ > 0)
    for (Gradient& g : gradients) {
      // tf.clip_by_norm; of occurrences, the norm of all of them.
      Value squares = b.sum(b.square(g.values), {});
      Value norm = exact_sqrt(b, squares);
      g.values = b.div(b.mul(g.values, clip_norm_), b.clamp(norm, clip_norm_, std::nullopt));
    }
  if (global_norm_ > 0) {
    Values squares;
    for (const Gradient& g : gradients) squares.push_back(b.sum(b.square(g.values), {}));
    Value norm = exact_sqrt(b, b.sum(b.stack(squares, 0), {}));
    Value inverse = b.call("aten::reciprocal", {{"self", norm}});
    Value scale = b.mul(b.clamp(inverse, std::nullopt, 1.0 / global_norm_), global_norm_);
    scale = b.add(scale, b.sub(norm, norm));  // a norm that is not finite makes everything NaN
    for (size_t i = 0; i < gradients.size(); ++i) {
      Gradient& g = gradients[i];
      if (clip_makes_dense() && g.is_slices()) g = {dense(b, variables[i], g), {}};
      g.values = b.mul(g.values, scale);
    }
  }
  Values out;
  for (const Gradient& g : gradients) out.push_back(g.values);
  return d.finish(out);
}

std::unique_ptr<Graph> Optimizer::update(const GradientType& type, size_t prepared,
                                         const TrainedVariable* whole) const {
  Draft d(dialect_, "update", class_name_);
  Builder& b = d.b;
  const DType dtype = type.variable.dtype;
  Value variable = b.input("variable", type.variable);
  Gradient g;
  gradient_inputs(b, type, g);
  Values slots, shared;
  for (const Slot& s : whole ? slots_of(*whole) : rule_slots_)
    slots.push_back(
        b.input(s.name, {Kind::Tensor, s.dtype.value_or(dtype), s.dims.value_or(type.variable.dims)}));
  for (size_t i = 0; i < prepared; ++i)
    shared.push_back(b.input(fmt::format("prepared_{}", i), {Kind::Tensor, dtype, {}}));
  const double decay = through_float32(rule_->weight_decay(weight_decay_, slots.size()));
  if (decay != 0) variable = b.sub(variable, b.mul(b.mul(variable, decay), shared[0]));
  auto [updated, new_slots] = rule_->apply(b, shared, variable, g, slots);
  Values out{updated};
  out.insert(out.end(), new_slots.begin(), new_slots.end());
  return d.finish(out);
}

std::unique_ptr<Graph> Optimizer::average(const Type& type) const {
  Draft d(dialect_, "average", class_name_);
  Builder& b = d.b;
  Value average = b.input("average", type), variable = b.input("variable", type);
  Value momentum = b.input("momentum", {Kind::Tensor, type.dtype, {}});
  Value overwrite = b.input("overwrite", {Kind::Tensor, DType::Bool, {}});
  Value now = b.add(b.mul(average, momentum), b.mul(variable, b.rsub(1.0, momentum)));
  return d.finish({now, b.where(overwrite, now, variable)});
}

std::unique_ptr<Graph> Optimizer::accumulate(const GradientType& type, bool divide) const {
  Draft d(dialect_, "accumulate", class_name_);
  Builder& b = d.b;
  Value sum = b.input("accumulator", type.variable);
  Gradient g;
  gradient_inputs(b, type, g);
  sum = b.add(sum, dense(b, sum, g));
  return d.finish({divide ? b.div(sum, static_cast<double>(accumulation_)) : sum});
}

}  // namespace midstream::keras
