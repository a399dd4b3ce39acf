// The order of the optimizer's arrays, for every version. A layout is a list of runs; a run goes once over the
// variables and holds all of its slots for each: Adam's [momentum, velocity] interleaved is one run of two slots, all
// momentums before all velocities are two runs of one.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <set>

#include "base/error.h"
#include "frontend/keras/canonical.h"

namespace midstream::keras {
namespace {

using Slot = TrainableWeight::Slot;
using Runs = std::vector<std::vector<Slot>>;  // of one weight

}  // namespace

bool sorts_by_name(const std::string& version) {
  return version.starts_with("1.") || version == "2.0.0" || version == "2.0.1" || version == "2.0.2" ||
         version == "2.0.3" || version == "2.0.4" || version == "2.0.5";
}

namespace {

Runs grouped(const Runs& runs) {
  Runs out;
  for (const auto& run : runs)
    for (const Slot& slot : run) out.push_back({slot});
  return out;
}

Runs interleaved(const Runs& runs) {
  std::vector<Slot> all;
  for (const auto& run : runs) all.insert(all.end(), run.begin(), run.end());
  return all.empty() ? Runs{} : Runs{all};
}

using Slots = std::map<std::string, std::map<std::string, FileArray>>;
using Layout = Runs (*)(const Runs&);

std::optional<Slots> try_layout(const std::vector<FileArray>& arrays, const std::vector<TrainableWeight>& weights,
                                const std::vector<size_t>& order, Layout layout) {
  std::vector<Runs> runs;
  size_t count = 0;
  for (const TrainableWeight& w : weights) {
    runs.push_back(layout(w.runs));
    count = std::max(count, runs.back().size());
  }
  Slots slots;
  size_t next = 0;
  for (size_t run = 0; run < count; ++run)
    for (size_t w : order) {
      if (run >= runs[w].size()) continue;
      for (const Slot& slot : runs[w][run]) {
        if (next >= arrays.size() || arrays[next].array.shape() != slot.dims) return std::nullopt;
        slots[weights[w].source][slot.name] = arrays[next++];
      }
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
  for (const auto& run : runs)
    for (const auto& [slot, dims] : run)
      if ((base.ends_with("_" + slot) || base.find("/" + slot + "/") != std::string::npos ||
           base.ends_with("/" + slot)) &&
          slot.size() > best.size())
        best = slot;
  if (!best.empty()) return best;
  for (const auto& [short_name, slot] : shorts)
    if (base.ends_with("/" + short_name) || base.find("/" + short_name + "/") != std::string::npos) return slot;
  return {};
}

std::optional<Slots> by_name(const std::vector<FileArray>& arrays, const std::vector<TrainableWeight>& weights) {
  Slots slots;
  size_t found = 0;
  for (const FileArray& a : arrays) {
    const std::string slot = slot_of_name(a.name, weights[0].runs);
    const TrainableWeight* best = nullptr;
    for (const TrainableWeight& w : weights)
      if (!w.name.empty() && plain(a.name).find(plain(w.name)) != std::string::npos && w.dims == a.array.shape() &&
          (!best || w.name.size() > best->name.size()))
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

// Takes the step counter and the learning rate, which all versions write before the slots; the rest in the file's
// order.
std::vector<FileArray> take_counters(OptimizerState& state, const json& config, bool keras3) {
  std::vector<FileArray> rest = state.all;
  auto scalar = [](const FileArray& a) { return a.array.shape().empty(); };
  auto counter = std::find_if(rest.begin(), rest.end(),
                              [&](const FileArray& a) { return scalar(a) && is_integral(a.array.dtype()); });
  // Keras 1.1 counts in float32.
  if (counter == rest.end() && !rest.empty() && scalar(rest.front())) counter = rest.begin();
  if (counter == rest.end()) return rest;
  state.iterations_array = *counter;
  state.iterations = counter->array.to_int64().at(0);
  counter = rest.erase(counter);
  const bool has_rate = keras3 && !(config.contains("learning_rate") && config.at("learning_rate").is_object());
  if (has_rate && counter != rest.end() && scalar(*counter)) {
    state.learning_rate = *counter;
    rest.erase(counter);
  }
  return rest;
}

// The one scalar that an optimizer keeps for all variables together; empty for most. Keras 3 saves Nadam's after the
// slots, without a name; OptimizerV2 ("momentum_cache") and Keras 2.3 ("m_schedule") before them; tf_keras not at all.
std::string shared_scalar(const std::string& optimizer) { return optimizer == "Nadam" ? "u_product" : ""; }

std::string listed(const std::vector<FileArray>& arrays) {
  std::string out;
  for (size_t i = 0; i < arrays.size() && i < 8; ++i)
    out += fmt::format("{}{} {}", i ? ", " : "", arrays[i].name.empty() ? arrays[i].source : arrays[i].name,
                       to_string(arrays[i].array.shape()));
  return arrays.size() > 8 ? out + ", ..." : out;
}

}  // namespace

void resolve_slots(File& file, const std::vector<TrainableWeight>& trainable,
                   const std::vector<TrainableWeight>& with_frozen) {
  if (!file.optimizer || !file.compile.is_object() || file.compile.at("optimizer").is_null()) return;
  OptimizerState& state = *file.optimizer;
  if (!state.slots.empty() || state.iterations_array) return;  // done before
  const json& optimizer = file.compile.at("optimizer");
  const std::string name = optimizer.at("class_name");
  const json& config = optimizer.at("config");
  std::vector<FileArray> arrays = take_counters(state, config, file.keras3);
  if (arrays.empty()) return;   // compiled, never trained
  if (trainable.empty() || with_frozen[0].runs.empty()) return;  // the optimizer is refused where it is to be used
  const std::string rules = config.value("rules", std::string("keras3"));
  const bool groups_first = rules == "optimizer_v2" || rules == "keras2";
  std::vector<Layout> layouts{[](const Runs& runs) { return runs; }, grouped, interleaved};
  if (groups_first) std::swap(layouts[0], layouts[1]);
  const auto fit = [&](const std::vector<FileArray>& slots_only, const std::vector<TrainableWeight>& weights) {
    std::vector<size_t> model_order(weights.size());
    std::iota(model_order.begin(), model_order.end(), 0);
    std::vector<std::vector<size_t>> orders{model_order};
    if (groups_first) orders.insert(sorts_by_name(file.version) ? orders.begin() : orders.end(), sorted_order(weights));
    for (const auto& order : orders)
      for (const Layout layout : layouts)
        if (auto slots = try_layout(slots_only, weights, order, layout)) {
          state.slots = std::move(*slots);
          return true;
        }
    return false;
  };
  const auto resolve = [&](const std::vector<TrainableWeight>& weights) {
    if (const std::string shared = shared_scalar(name); !shared.empty())
      for (const size_t at : {arrays.size() - 1, size_t{0}}) {
        if (!arrays[at].array.shape().empty()) continue;
        std::vector<FileArray> slots_only = arrays;
        slots_only.erase(slots_only.begin() + static_cast<long>(at));
        if (!slots_only.empty() && !fit(slots_only, weights)) continue;
        state.scalars[shared] = arrays[at];
        return true;
      }
    if (fit(arrays, weights)) return true;
    auto slots = by_name(arrays, weights);
    if (slots) state.slots = std::move(*slots);
    return slots.has_value();
  };
  // Layers frozen after compile() (a GAN's discriminator): the optimizer still has slots for all weights.
  if (resolve(trainable) || (with_frozen.size() > trainable.size() && resolve(with_frozen))) return;
  throw Error(
      ErrorKind::Mismatch, file.path,
      fmt::format("the optimizer's {} arrays do not fit {} and the model's {} trainable weights in any layout that "
                  "Keras wrote: {}.",
                  arrays.size(), name, trainable.size(), listed(arrays)),
      "Was the list of trainable layers changed after training? Compile the model again in Keras and save it, to "
      "start with a fresh optimizer.");
}

}  // namespace midstream::keras
