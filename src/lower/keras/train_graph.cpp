#include "lower/keras/train_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "lower/keras/metrics.h"
#include "lower/registry.h"

namespace midstream::keras {

Rules rules_of(const File& file) { return rules_for(file.keras3, parse_dtype(file.floatx).value_or(DType::Float32)); }

namespace {

// compile()'s losses and metrics, one entry per output.
struct Compiled {
  explicit Compiled(const File& file) : compile(file.compile), outputs(file.model.outputs.size()) {
    if (!compile.is_object())
      throw Error(ErrorKind::Usage, file.path, "was never compiled, so there is no loss to train with.",
                  "Call model.compile() in Keras and save the model again.");
  }
  json loss(size_t i) const { return at("losses", i); }
  json metrics(const char* key, size_t i) const {
    json list = at(key, i);
    return list.is_null() ? json::array() : list;
  }
  std::optional<double> weight(size_t i) const {
    json w = at("loss_weights", i);
    return w.is_number() ? std::optional<double>(w.get<double>()) : std::nullopt;
  }

  const json& compile;
  const size_t outputs;

 private:
  json at(const char* key, size_t i) const {
    auto it = compile.find(key);
    if (it == compile.end() || !it->is_array() || i >= it->size()) return nullptr;
    return (*it)[i];
  }
};

std::string class_of(const json& item, const Dims& y_true, const Dims& y_pred) {
  std::string name = item.at("class_name");
  return name == "accuracy" || name == "crossentropy" ? resolve_by_shape(name, y_true, y_pred) : name;
}

template <class Table>
bool has_lowering(const json& item, const Table& table) {
  const std::string name = item.at("class_name");
  if (name == "accuracy" || name == "crossentropy") return true;
  return table.find(name) && (!item.value("custom", false) || registry().own.contains(name));
}

std::string listed(const json& names) {
  std::string out;
  for (const json& name : names) out += (out.empty() ? "" : ", ") + name.get<std::string>();
  return out;
}

// All losses without lowering, in one message. (Metrics without one are left out: they do not change the training.)
void check_losses(const Compiled& compiled, const std::string& path) {
  if (const json& unknown = compiled.compile.at("unknown"); !unknown.empty())
    throw Error(ErrorKind::Unsupported, path,
                fmt::format("compile() was given what has no meaning here: {}.", listed(unknown)),
                "Compile the model without it in Keras and save it again; nothing was trained.");
  std::set<std::string> missing;
  bool own = false;
  for (size_t i = 0; i < compiled.outputs; ++i) {
    const json loss = compiled.loss(i);
    if (loss.is_null() || has_lowering(loss, registry().losses)) continue;
    missing.insert("loss " + loss.at("class_name").get<std::string>());
    own = own || loss.value("custom", false);
  }
  if (missing.empty()) return;
  throw Error(
      ErrorKind::Unsupported, path, fmt::format("compile() names what has no lowering: {}.", fmt::join(missing, ", ")),
      own ? "A loss of your own is code, which no file holds: register it, midstream.register(\"name\", function, "
            "kind=\"loss\"), take another one in this run (--loss), or train run.model in a loop of your own."
          : "`midstream ops --frontend keras` lists the losses that there are.");
}

// Visits every metric of compile() with its path in the Variables table and its name in the logs.
template <class F>
void for_each_metric(const Compiled& compiled, const StepData& data, const std::vector<Type>& outputs, F&& visit) {
  std::set<std::string> used;
  for (const char* key : {"metrics", "weighted_metrics"})
    for (size_t i = 0; i < compiled.outputs; ++i) {
      if (!data.targets[i]) continue;
      for (const json& m : compiled.metrics(key, i)) {
        if (!has_lowering(m, registry().metrics)) continue;
        std::string name = m.at("config").at("name");
        if (used.count(name)) name = "weighted_" + name;
        for (int n = 1; used.count(name); ++n)
          name = fmt::format("{}_{}", m.at("config").at("name").get<std::string>(), n);
        used.insert(name);
        const std::string type = class_of(m, data.targets[i]->dims, outputs[i].dims);
        visit(i, type, m.at("config"), "metrics/" + name, name, key == std::string_view("weighted_metrics"));
      }
    }
}

bool several_losses(const Compiled& compiled) {
  size_t n = 0;
  for (size_t i = 0; i < compiled.outputs; ++i) n += !compiled.loss(i).is_null();
  return n > 1;
}

std::string loss_name(const File& file, size_t output) { return file.model.output_names[output] + "_loss"; }

class StepBuilder {
 public:
  StepBuilder(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables, const StepData& data)
      : file_(file), compiled_(file), data_(data), rules_(rules_of(file)) {
    check_losses(compiled_, file.path);
    step_.graph = std::make_unique<Graph>(std::move(variables));
    step_.graph->name = "step";
    step_.host = std::make_unique<LayerHost>(file.keras3);
    b_ = std::make_unique<Builder>(*step_.graph, dialect);
  }

  StepGraph build() {
    Tensors x = model_inputs(*b_, file_.model);
    step_.model_inputs = x.size();
    y_pred_ = lower_model(*b_, *step_.host, file_, x);
    for (size_t i = 0; i < data_.targets.size(); ++i) y_true_.push_back(beside_output("y:", i, data_.targets[i]));
    for (size_t i = 0; i < data_.weights.size(); ++i) weight_.push_back(beside_output("weight:", i, data_.weights[i]));
    step_.trainable = trainable_variables(*step_.host, *step_.graph->variables);
    samples_ = b_->size(x.at(0).value, 0);
    Value total = total_loss();
    metrics(total);
    std::vector<Output> outputs{{"loss", total}};
    for (size_t i = 0; i < y_pred_.size(); ++i) outputs.push_back({file_.model.output_names[i], y_pred_[i].value});
    b_->outputs(std::move(outputs));
    split_tables(step_.graph->body);
    return std::move(step_);
  }

 private:
  Builder::At at(const std::string& op) { return Builder::At(*b_, Origin{.path = "training", .op = op, .call = 0}); }

  // An input that goes with output i: its open sizes are those of the output.
  Value beside_output(const std::string& kind, size_t i, const std::optional<Type>& type) {
    if (!type) return {};
    Value v = b_->input(kind + file_.model.output_names[i], *type);
    ValueInfo& info = step_.graph->info(v);
    const Samples& like = step_.graph->info(y_pred_[i].value).samples;
    for (size_t s = 0; s < like.size(); ++s)
      for (size_t axis = 0; axis < std::min(type->dims.size(), like[s].dims.size()); ++axis)
        if (type->dims[axis] == kUnknown) info.samples[s].dims[axis] = like[s].dims[axis];
    return v;
  }

  // Keras 2 first gives vectors beside [n, c] predictions an axis of size one.
  Value ranked(Value v, Value y_pred) {
    if (!v || !rules_.weights_match_rank || b_->rank(v) != 1 || b_->rank(y_pred) != 2) return v;
    return b_->unsqueeze(v, -1);
  }

  Value loss_of(size_t i) {
    const json loss = compiled_.loss(i);
    auto [pred, mask] = y_pred_[i];
    Value y_true = ranked(y_true_[i], pred), weight = ranked(weight_[i], pred);
    const std::string type = class_of(loss, b_->dims(y_true), b_->dims(pred));
    auto origin = at("keras." + type);
    const json& config = loss.at("config");
    if (type == "SparseCategoricalCrossentropy") note_classes(i, pred, config);
    if (rules_.losses_in_floatx) pred = b_->cast(pred, rules_.floatx);
    auto [t, p] = match_targets(*b_, rules_, y_true, pred);
    Losses losses = (*registry().losses.find(type))(*b_, config, rules_, t, p);
    if (mask && rules_.mask_counts_twice) weight = weight_of_mask(*b_, rules_, mask, weight, b_->dtype(pred), false);
    if (losses.mask) mask = mask ? b_->logical_and(mask, losses.mask) : losses.mask;
    std::string reduction = text(config, "reduction", "sum_over_batch_size");
    Value value = reduce_losses(*b_, rules_, reduction, losses.values, mask, weight);
    // A loss without reduction is differentiated as the sum of its elements.
    return b_->rank(value) == 0 ? value : b_->sum(value, {});
  }

  void note_classes(size_t output, Value pred, const json& config) {
    int64_t axis = integer(config, "axis", -1);
    const Dims dims = b_->dims(pred);
    int64_t count = dims[static_cast<size_t>(axis < 0 ? axis + b_->rank(pred) : axis)];
    std::optional<int64_t> ignored;
    if (has(config, "ignore_class")) ignored = integer(config, "ignore_class", 0);
    if (count != kUnknown) step_.classes.push_back({output, count, ignored});
  }

  Value total_loss() {
    Values parts;
    const bool several = several_losses(compiled_);
    for (size_t i = 0; i < compiled_.outputs; ++i) {
      if (compiled_.loss(i).is_null() || !y_true_[i]) continue;
      Value value = loss_of(i);
      // Keras 3 weighs an output's loss by the batch size where that is known while tracing: it is not in fit.
      if (several)
        LossTracker(rules_).update_loss(*b_, "metrics/" + loss_name(file_, i), detached(value),
                                        file_.keras3 ? Int(1) : samples_);
      if (auto w = compiled_.weight(i); w && *w != 1.0) value = b_->mul(value, *w);
      parts.push_back(value);
    }
    for (Value extra : step_.host->losses) parts.push_back(b_->rank(extra) == 0 ? extra : b_->sum(extra, {}));
    for (const WeightRule& rule : step_.host->regularizers) penalty(rule, parts);
    if (parts.empty())
      throw Error(ErrorKind::Usage, file_.path, "has no loss for any of the outputs that have targets.");
    Value total = b_->cast(parts[0], rules_.floatx);
    for (size_t i = 1; i < parts.size(); ++i) total = b_->add(total, b_->cast(parts[i], rules_.floatx));
    return total;
  }

  void penalty(const WeightRule& rule, Values& parts) {
    const std::string type = rule.config.at("class_name");
    const RegularizerFn* fn = registry().regularizers.find(type);
    auto origin = at("keras." + type);
    if (!fn)
      b_->fail(ErrorKind::Unsupported, fmt::format("the regularizer {} of {} has no lowering.", type, rule.variable));
    // Keras 3 leaves out what is not trained; Keras 2 counts it in the loss.
    if (rules_.losses_in_floatx && !b_->graph().variables->find(rule.variable)->trainable) return;
    parts.push_back((*fn)(*b_, rule.config.value("config", json::object()), rules_,
                          step_.host->current(b_->variable(rule.variable))));
  }

  Value detached(Value v) { return b_->unary("aten::detach", v); }

  void metrics(Value total) {
    {
      auto origin = at("keras.Mean");
      LossTracker(rules_).update_loss(*b_, "metrics/loss", detached(total), samples_);
    }
    std::vector<Type> types;
    Values detached_outputs;
    for (const Tensor& t : y_pred_) {
      types.push_back(b_->type(t.value));
      detached_outputs.push_back(detached(t.value));
    }
    for_each_metric(compiled_, data_, types,
                    [&](size_t i, const std::string& type, const json& config, const std::string& path,
                        const std::string&, bool weighted) {
                      auto origin = at("keras." + type);
                      auto metric = (*registry().metrics.find(type))(config, rules_);
                      Value pred = detached_outputs[i];
                      Value weight = weighted ? ranked(weight_[i], pred) : Value{};
                      metric->update(*b_, path, ranked(y_true_[i], pred), pred, y_pred_[i].mask, weight);
                    });
  }

  // Gives each use of a trainable embedding table an input of its own.
  void split_tables(Block& block) {
    Graph& graph = *step_.graph;
    for (auto& node : block.nodes) {
      for (Block& inner : node->blocks) split_tables(inner);
      if (node->op != "aten::embedding") continue;
      for (NamedArg& arg : node->args) {
        auto* table = std::get_if<Value>(&arg.value);
        if (arg.name != "weight" || !table || graph.info(*table).leaf != LeafKind::Variable) continue;
        const Variable& variable = graph.variables->at(static_cast<size_t>(graph.info(*table).index));
        if (!variable.trainable) continue;
        step_.tables.push_back({variable.name, graph.inputs.size()});
        arg.value = b_->input(fmt::format("table:{}:{}", variable.name, step_.tables.size()), graph.type(*table));
      }
    }
  }

  const File& file_;
  const Compiled compiled_;
  const StepData& data_;
  const Rules rules_;
  StepGraph step_;
  std::unique_ptr<Builder> b_;
  Tensors y_pred_;
  Values y_true_, weight_;
  Int samples_;
};

}  // namespace

std::vector<bool> wanted_targets(const File& file) {
  Compiled compiled(file);
  std::vector<bool> wanted;
  for (size_t i = 0; i < compiled.outputs; ++i)
    wanted.push_back(!compiled.loss(i).is_null() || !compiled.metrics("metrics", i).empty() ||
                     !compiled.metrics("weighted_metrics", i).empty());
  return wanted;
}

std::vector<std::string> left_out_metrics(const File& file) {
  std::vector<std::string> out;
  if (!file.compile.is_object()) return out;
  const Compiled compiled(file);
  for (const char* key : {"metrics", "weighted_metrics"})
    for (size_t i = 0; i < compiled.outputs; ++i)
      for (const json& m : compiled.metrics(key, i))
        if (const std::string name = m.at("class_name");
            !has_lowering(m, registry().metrics) && std::find(out.begin(), out.end(), name) == out.end())
          out.push_back(name);
  return out;
}

std::vector<std::string> unsupported_in_compile(const File& file) {
  std::vector<std::string> out;
  if (!file.compile.is_object()) return out;
  const Compiled compiled(file);
  const auto note = [&](const std::string& what) {
    if (std::find(out.begin(), out.end(), what) == out.end()) out.push_back(what);
  };
  for (const json& entry : file.compile.at("unknown")) note("compile() entry " + entry.get<std::string>());
  for (size_t i = 0; i < compiled.outputs; ++i)
    if (const json loss = compiled.loss(i); !loss.is_null() && !has_lowering(loss, registry().losses))
      note("loss " + loss.at("class_name").get<std::string>());
  for (const std::string& name : left_out_metrics(file)) note("metric " + name);
  const json& optimizer = file.compile.at("optimizer");
  if (!optimizer.is_object()) return out;
  const std::string name = optimizer.at("class_name");
  if (!registry().optimizers.find(name)) note("optimizer " + name);
  const json rate = optimizer.at("config").value("learning_rate", json());
  if (rate.is_object())
    if (const std::string schedule = rate.value("class_name", std::string()); !registry().schedules.find(schedule))
      note("schedule " + schedule);
  return out;
}

StepGraph lower_step(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables,
                     const StepData& data) {
  return StepBuilder(file, dialect, std::move(variables), data).build();
}

std::unique_ptr<Graph> lower_results(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables,
                                     const StepData& data, const std::vector<Type>& outputs) {
  Compiled compiled(file);
  const Rules rules = rules_of(file);
  auto graph = std::make_unique<Graph>(std::move(variables));
  graph->name = "results";
  Builder b(*graph, dialect);
  std::vector<Output> results{{"loss", LossTracker(rules).result(b, "metrics/loss")}};
  if (several_losses(compiled))
    for (size_t i = 0; i < compiled.outputs; ++i)
      if (!compiled.loss(i).is_null() && data.targets[i])
        results.push_back({loss_name(file, i), LossTracker(rules).result(b, "metrics/" + loss_name(file, i))});
  for_each_metric(
      compiled, data, outputs,
      [&](size_t, const std::string& type, const json& config, const std::string& path, const std::string& name, bool) {
        results.push_back({name, (*registry().metrics.find(type))(config, rules)->result(b, path)});
      });
  b.outputs(std::move(results));
  return graph;
}

}  // namespace midstream::keras
