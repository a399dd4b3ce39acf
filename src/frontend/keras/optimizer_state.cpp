// The order of the optimizer's arrays, for every version. A layout is a list of runs; a run goes once over the
// variables and holds all of its slots for each: Adam's [momentum, velocity] interleaved is one run of two slots, all
// momentums before all velocities are two runs of one.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>

#include "base/error.h"
#include "frontend/keras/canonical.h"

namespace midstream::keras {
namespace {

using Run = std::vector<std::string>;
using Runs = std::vector<Run>;

bool on(const json& config, const char* key) {
  auto it = config.find(key);
  if (it == config.end() || it->is_null()) return false;
  return it->is_boolean() ? it->get<bool>() : it->is_number() && it->get<double>() != 0;
}

// The runs of Keras 3 and of tf_keras 2.11 and later.
Runs runs_of(const std::string& optimizer, const json& config) {
  Runs runs;
  if (on(config, "use_ema")) runs.push_back({"average"});
  if (on(config, "gradient_accumulation_steps")) runs.push_back({"gradient_accumulator"});
  auto add = [&](Run run) { runs.push_back(std::move(run)); };
  if (optimizer == "Adam" || optimizer == "AdamW" || optimizer == "Nadam" || optimizer == "Lamb" ||
      optimizer == "ScheduleFreeAdamW")
    add({"momentum", "velocity"});
  if ((optimizer == "Adam" || optimizer == "AdamW") && on(config, "amsgrad")) add({"velocity_hat"});
  if (optimizer == "Adamax") add({"momentum", "norm"});
  if (optimizer == "Adagrad") add({"accumulator"});
  if (optimizer == "Adadelta") add({"accumulated_grad", "accumulated_delta_var"});
  if (optimizer == "Adafactor") add({"r", "c", "velocity"});
  if (optimizer == "Ftrl") add({"accumulator", "linear"});
  if (optimizer == "Lion" || optimizer == "Muon") add({"momentum"});
  // tf_keras keeps SGD's momentum even where it is 0.
  if (optimizer == "SGD" && (on(config, "momentum") || config.value("rules", "") == "tf_keras")) add({"momentum"});
  if (optimizer == "RMSprop") {
    add({"velocity"});
    if (on(config, "momentum")) add({"momentum"});
    if (on(config, "centered")) add({"average_gradient"});
  }
  return runs;
}

}  // namespace

Runs slot_runs(const std::string& optimizer, const json& config) { return runs_of(optimizer, config); }

namespace {

Runs grouped(const Runs& runs) {
  Runs out;
  for (const Run& run : runs)
    for (const std::string& slot : run) out.push_back({slot});
  return out;
}

Runs interleaved(const Runs& runs) {
  Run all;
  for (const Run& run : runs) all.insert(all.end(), run.begin(), run.end());
  return all.empty() ? Runs{} : Runs{all};
}

// Adafactor keeps row and column means for matrices only; every other slot is like its variable.
std::optional<Dims> slot_dims(const std::string& slot, const Dims& weight) {
  if (slot != "r" && slot != "c") return weight;
  if (weight.size() < 2) return std::nullopt;
  Dims dims(weight.begin(), weight.end());
  dims.erase(dims.end() - (slot == "r" ? 1 : 2));
  return dims;
}

using Slots = std::map<std::string, std::map<std::string, FileArray>>;

std::optional<Slots> try_layout(const std::vector<FileArray>& arrays, const std::vector<TrainableWeight>& weights,
                                const std::vector<size_t>& order, const Runs& runs) {
  Slots slots;
  size_t next = 0;
  for (const Run& run : runs)
    for (size_t w : order)
      for (const std::string& slot : run) {
        const auto dims = slot_dims(slot, weights[w].dims);
        if (!dims) continue;
        if (next >= arrays.size() || arrays[next].array.shape() != *dims) return std::nullopt;
        slots[weights[w].source][slot] = arrays[next++];
      }
  // Keras 2.1 to 2.3 write a placeholder of one zero per variable where Adam has no amsgrad.
  const size_t rest = arrays.size() - next;
  const bool placeholders =
      rest == weights.size() && std::all_of(arrays.end() - static_cast<long>(rest), arrays.end(),
                                            [](const FileArray& a) { return a.array.shape() == Dims{1}; });
  if (rest != 0 && !placeholders) return std::nullopt;
  return slots;
}

std::string plain(std::string name) {
  if (name.ends_with(":0")) name.resize(name.size() - 2);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

// "training/Adam/dense/kernel/m:0", "Adam/m/dense/kernel:0", "adam/dense_kernel_momentum" -> "momentum"
std::string slot_of_name(const std::string& name, const Runs& runs) {
  static const std::map<std::string, std::string> shorts{{"m", "momentum"},
                                                         {"v", "velocity"},
                                                         {"vhat", "velocity_hat"},
                                                         {"rms", "velocity"},
                                                         {"mg", "average_gradient"},
                                                         {"u", "norm"},
                                                         {"accum_grad", "accumulated_grad"},
                                                         {"accum_var", "accumulated_delta_var"}};
  std::string base = name.ends_with(":0") ? name.substr(0, name.size() - 2) : name;
  std::string best;
  for (const Run& run : runs)
    for (const std::string& slot : run)
      if ((base.ends_with("_" + slot) || base.find("/" + slot + "/") != std::string::npos ||
           base.ends_with("/" + slot)) &&
          slot.size() > best.size())
        best = slot;
  if (!best.empty()) return best;
  for (const auto& [short_name, slot] : shorts)
    if (base.ends_with("/" + short_name) || base.find("/" + short_name + "/") != std::string::npos) return slot;
  return {};
}

std::optional<Slots> by_name(const std::vector<FileArray>& arrays, const std::vector<TrainableWeight>& weights,
                             const Runs& runs) {
  Slots slots;
  size_t found = 0;
  for (const FileArray& a : arrays) {
    const std::string slot = slot_of_name(a.name, runs);
    const TrainableWeight* best = nullptr;
    for (const TrainableWeight& w : weights)
      if (!w.name.empty() && plain(a.name).find(plain(w.name)) != std::string::npos &&
          slot_dims(slot, w.dims) == a.array.shape() && (!best || w.name.size() > best->name.size()))
        best = &w;
    if (!best || slot.empty()) continue;
    found += slots[best->source].emplace(slot, a).second;
  }
  if (found == 0 || slots.size() != weights.size()) return std::nullopt;
  return slots;
}

// Keras 1 and the first Keras 2: variables sorted by name, as strings ("_10" before "_2").
std::vector<size_t> sorted_order(const std::vector<TrainableWeight>& weights) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a].name < weights[b].name; });
  return order;
}

// Step counter, learning rate and other scalars, which all versions write among the slots.
std::vector<FileArray> take_scalars(OptimizerState& state, const json& config, bool keras3) {
  std::vector<FileArray> rest;
  for (const FileArray& a : state.all) {
    const bool whole = is_integral(a.array.dtype());
    if (!a.array.shape().empty()) {
      rest.push_back(a);
    } else if (!state.iterations_array && (whole || rest.empty())) {
      state.iterations_array = a;
      state.iterations = a.array.to_int64().at(0);
    } else if (keras3 && !state.learning_rate && !whole && config.contains("learning_rate") &&
               !config.at("learning_rate").is_object() && rest.empty()) {
      state.learning_rate = a;
    } else {
      state.scalars[a.name.empty() ? fmt::format("scalar_{}", state.scalars.size()) : a.name] = a;
    }
  }
  return rest;
}

bool sorts_by_name(const std::string& version) {
  return version.starts_with("1.") || version == "2.0.0" || version == "2.0.1" || version == "2.0.2" ||
         version == "2.0.3" || version == "2.0.4" || version == "2.0.5";
}

}  // namespace

void resolve_slots(File& file, const std::vector<TrainableWeight>& trainable) {
  if (!file.optimizer || !file.compile.is_object() || file.compile.at("optimizer").is_null()) return;
  OptimizerState& state = *file.optimizer;
  if (!state.slots.empty() || state.iterations_array) return;  // done before
  json optimizer = file.compile.at("optimizer");
  if (optimizer.at("class_name") == "LossScaleOptimizer" && optimizer.at("config").contains("inner_optimizer"))
    optimizer = optimizer.at("config").at("inner_optimizer");
  const std::string name = optimizer.at("class_name");
  const json& config = optimizer.at("config");
  const std::vector<FileArray> arrays = take_scalars(state, config, file.keras3);
  if (arrays.empty()) return;  // compiled, never trained
  Runs runs = runs_of(name, config);
  if (runs.empty()) runs = {{"momentum"}};  // SGD without momentum has slots in some versions
  const std::string rules = config.value("rules", std::string("keras3"));
  const bool groups_first = rules == "optimizer_v2" || rules == "keras2";
  std::vector<Runs> layouts{runs, grouped(runs), interleaved(runs)};
  if (groups_first) std::swap(layouts[0], layouts[1]);
  std::vector<size_t> model_order(trainable.size());
  std::iota(model_order.begin(), model_order.end(), 0);
  std::vector<std::vector<size_t>> orders{model_order};
  if (groups_first) orders.insert(sorts_by_name(file.version) ? orders.begin() : orders.end(), sorted_order(trainable));
  for (const auto& order : orders)
    for (const Runs& layout : layouts)
      if (auto slots = try_layout(arrays, trainable, order, layout)) {
        state.slots = std::move(*slots);
        return;
      }
  if (auto slots = by_name(arrays, trainable, runs)) {
    state.slots = std::move(*slots);
    return;
  }
  throw Error(
      ErrorKind::Mismatch, file.path,
      fmt::format("the optimizer's {} arrays do not fit {} and the model's {} trainable weights in any layout that "
                  "Keras wrote.",
                  arrays.size(), name, trainable.size()),
      "Was the list of trainable layers changed after training? Compile the model again in Keras and save it, to "
      "start with a fresh optimizer.");
}

}  // namespace midstream::keras
