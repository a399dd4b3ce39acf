// Bidirectional: a recurrent layer forwards, another backwards, and their outputs merged. Where both directions are the
// same cell with its own weights, PyTorch's bidirectional kernel runs them together.
#include <fmt/format.h>

#include "lower/keras/host.h"
#include "lower/keras/recurrent.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

// What the two layers give, in the input's order of time.
struct Directions {
  Value forward, backward;  // outputs; or
  Value joined;             // both, [..., 2 * units]
  Tensors states;           // forward, then backward
};

json inner_layer(const Layer& l, bool backward) {
  json spec = backward && l.has("backward_layer") ? l.config.at("backward_layer") : l.config.at("layer");
  json& config = spec["config"];
  const bool made_here = backward && !l.has("backward_layer");
  if (made_here) config["go_backwards"] = !config.value("go_backwards", false);
  // Files of Keras 3 have the prefix in the name already.
  const std::string prefix = backward ? "backward_" : "forward_", name = config.value("name", "layer");
  if (!name.starts_with(prefix)) config["name"] = prefix + name;
  // Keras forces this in both directions.
  config["zero_output_for_mask"] = config.value("return_sequences", false);
  if (!config.contains("dtype") || config["dtype"].is_null()) config["dtype"] = l.text("dtype", "float32");
  return spec;
}

// Both directions in one kernel: the same kind of cell, no dropout (each direction has its own), nothing kept.
bool fits_one_kernel(const json& forward, const json& backward) {
  const std::string class_name = forward.at("class_name").get<std::string>();
  if (class_name != backward.at("class_name") || !is_recurrent(class_name) || class_name == "RNN") return false;
  const json &f = forward.at("config"), &g = backward.at("config");
  if (f.value("go_backwards", false) || !g.value("go_backwards", false)) return false;
  for (const char* entry : {"stateful", "time_major"})
    if (f.value(entry, false) || g.value(entry, false)) return false;
  for (const char* entry : {"dropout", "recurrent_dropout"})
    if (f.value(entry, 0.0) > 0 || g.value(entry, 0.0) > 0) return false;
  for (const char* entry : {"units", "activation", "recurrent_activation", "use_bias", "reset_after", "dtype"})
    if (f.value(entry, json()) != g.value(entry, json())) return false;
  return !f.contains("activity_regularizer") && !g.contains("activity_regularizer");
}

Layer make_child(Layer& l, const std::string& attribute, const json& spec) {
  return l.child(attribute, spec.at("config").at("name"), spec.at("class_name"), spec.at("config"));
}

std::optional<Directions> in_one_kernel(Layer& l, const Call& call, const json& forward, const json& backward) {
  if (!fits_one_kernel(forward, backward)) return std::nullopt;
  Builder& b = l.b;
  const Value x = call.one().value;
  const int64_t features = b.dims(x).back();
  Layer forward_layer = make_child(l, "forward_layer", forward);
  const auto f = recurrent_cells(forward_layer, features);
  Layer backward_layer = make_child(l, "backward_layer", backward);
  const auto g = recurrent_cells(backward_layer, features);
  if (!f[0].cell.has_kernel()) return std::nullopt;
  expect_recurrent_config(forward_layer);
  expect_recurrent_config(backward_layer);
  math::Sequence s{.x = x,
                   .mask = sequence_mask(l, call),
                   .initial = initial_states(call),
                   .zero_output = forward_layer.flag("zero_output_for_mask"),
                   .all_outputs = forward_layer.flag("return_sequences")};
  for (Value& v : s.initial) v = b.cast(v, l.compute_dtype());
  const math::BothWays r = math::recurrence_both_ways(b, f[0].cell, g[0].cell, s);
  Directions out{.forward = r.forward.last, .backward = r.backward.last, .joined = r.outputs, .states = {}};
  for (const math::Recurrence* d : {&r.forward, &r.backward})
    for (Value state : d->states) out.states.push_back({state, {}});
  return out;
}

Directions one_by_one(Layer& l, const Call& call, const json& forward, const json& backward) {
  const Values initial = initial_states(call);
  const auto half = static_cast<std::ptrdiff_t>(initial.size() / 2);
  Directions out;
  for (bool back : {false, true}) {
    const json& spec = back ? backward : forward;
    Call inner;
    inner.inputs = {{call.one().value, {}}};
    inner.args = {inner.inputs};
    if (Value mask = sequence_mask(l, call)) inner.kwargs["mask"] = {{mask, {}}};
    for (auto it = initial.begin() + (back ? half : 0); it != (back ? initial.end() : initial.begin() + half); ++it)
      inner.kwargs["initial_state"].push_back({*it, {}});
    Tensors results = l.lower_child(back ? "backward_layer" : "forward_layer", spec, inner);
    Value y = results.at(0).value;
    if (back && spec.at("config").value("return_sequences", false))
      y = l.b.flip(y, {spec.at("config").value("time_major", false) ? 0 : 1});
    (back ? out.backward : out.forward) = y;
    out.states.insert(out.states.end(), results.begin() + 1, results.end());
  }
  return out;
}

Tensors merged(Layer& l, const Directions& d, Value mask) {
  Builder& b = l.b;
  const std::string mode = l.config.contains("merge_mode") ? l.text("merge_mode") : "concat";  // null: not merged
  if (d.joined && mode == "concat") return {{d.joined, mask}};
  Value f = d.forward, g = d.backward;
  if (d.joined) {
    const Values halves = b.call_all("aten::chunk", {{"self", d.joined}, {"chunks", 2}, {"dim", -1}});
    f = halves[0];
    g = halves[1];
  }
  if (mode.empty()) return {{f, mask}, {g, mask}};
  if (mode == "concat") return {{b.concat({f, g}, -1), mask}};
  if (mode == "sum") return {{b.add(f, g), mask}};
  if (mode == "ave") return {{b.div(b.add(f, g), 2.0), mask}};
  if (mode == "mul") return {{b.mul(f, g), mask}};
  b.fail(ErrorKind::Unsupported, fmt::format("merge_mode is '{}'.", mode), "Known are sum, mul, ave, concat and none.");
}

Tensors bidirectional(Layer& l, const Call& call) {
  l.expect_config({"layer", "backward_layer", "merge_mode"});
  const json forward = inner_layer(l, false), backward = inner_layer(l, true);
  std::optional<Directions> directions = in_one_kernel(l, call, forward, backward);
  if (!directions) directions = one_by_one(l, call, forward, backward);
  const json& config = forward.at("config");
  const bool sequences = config.value("return_sequences", false);
  Tensors out = merged(l, *directions, sequences ? passed_mask(call) : Value{});
  if (config.value("return_state", false)) out.insert(out.end(), directions->states.begin(), directions->states.end());
  return out;
}

}  // namespace

void register_bidirectional(Registry& r) { r.layer("Bidirectional", bidirectional); }

}  // namespace midstream::keras
