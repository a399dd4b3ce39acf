// LSTM, GRU, SimpleRNN, and RNN over their cells. Formulas: lower/math/recurrent.h.
#include "lower/keras/recurrent.h"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "frontend/keras/canonical.h"
#include "lower/keras/cell_dropout.h"
#include "lower/keras/host.h"
#include "lower/register_all.h"
#include "lower/registry.h"

namespace midstream::keras {
namespace {

using Kind = math::RecurrentCell::Kind;

std::optional<Kind> cell_kind(const std::string& class_name) {
  if (class_name == "LSTM" || class_name == "LSTMCell") return Kind::Lstm;
  if (class_name == "GRU" || class_name == "GRUCell") return Kind::Gru;
  if (class_name == "SimpleRNN" || class_name == "SimpleRNNCell") return Kind::Simple;
  return std::nullopt;
}

// The name of a plain activation function; empty for an object with options.
std::string function_name(const Layer& l, const std::string& entry) {
  if (!l.has(entry)) return "linear";
  return l.config.at(entry).is_string() ? l.config.at(entry).get<std::string>() : "";
}

CellLayer make_cell(Layer layer, int64_t features) {
  math::RecurrentCell cell;
  cell.kind = *cell_kind(layer.class_name);
  cell.units = layer.integer("units");
  cell.reset_after = layer.flag("reset_after", false);
  cell.activation = [layer](Value v) mutable { return layer.activation(v, "activation"); };
  cell.activation_name = function_name(layer, "activation");
  if (cell.kind != Kind::Simple) {
    cell.recurrent_activation = [layer](Value v) mutable { return layer.activation(v, "recurrent_activation"); };
    cell.recurrent_activation_name = function_name(layer, "recurrent_activation");
  }
  const int64_t columns = cell.gates() * cell.units;
  cell.kernel = layer.weight("kernel", {features, columns});
  cell.recurrent_kernel = layer.weight("recurrent_kernel", {cell.units, columns});
  if (layer.flag("use_bias", true))
    cell.bias = layer.weight("bias", cell.kind == Kind::Gru && cell.reset_after ? Dims{2, columns} : Dims{columns});
  return {std::move(layer), std::move(cell)};
}

void expect_cell_config(const Layer& cell) {
  if (!cell_kind(cell.class_name))
    cell.b.fail(ErrorKind::Unsupported, fmt::format("a recurrent layer has a cell of class '{}'.", cell.class_name),
                "Known are LSTMCell, GRUCell, SimpleRNNCell and StackedRNNCells of them.");
  cell.expect_config({"units", "activation", "recurrent_activation", "use_bias", "unit_forget_bias", "dropout",
                      "recurrent_dropout", "implementation", "reset_after", "seed", "enable_caching_device"});
}

// The cell of an RNN layer as its config has it, or the cells of a stack.
std::vector<CellLayer> cells_of_rnn(Layer& l, int64_t features) {
  auto inner = [](Layer& parent, const std::string& attribute, const json& spec) {
    const json config = spec.value("config", json::object());
    return parent.child(attribute, config.value("name", attribute), spec.at("class_name"), config);
  };
  Layer outer = inner(l, "cell", l.config.at("cell"));
  std::vector<CellLayer> out;
  if (outer.class_name != "StackedRNNCells") {
    expect_cell_config(outer);
    out.push_back(make_cell(std::move(outer), features));
    return out;
  }
  std::map<std::string, int> seen;  // files of Keras 3 call the cells lstm_cell, lstm_cell_1, gru_cell, ...
  for (const json& spec : outer.config.at("cells")) {
    const std::string name = to_snake_case(spec.at("class_name").get<std::string>());
    const int before = seen[name]++;
    Layer cell = inner(outer, "cells/" + (before ? fmt::format("{}_{}", name, before) : name), spec);
    expect_cell_config(cell);
    out.push_back(make_cell(std::move(cell), features));
    features = out.back().cell.units;
  }
  return out;
}

// States that outlive a run (stateful=True). No file holds them: they start as zeros.
Values state_variables(Layer& l, const std::vector<CellLayer>& cells, Value x) {
  const int64_t batch = l.b.dims(x)[0];
  if (batch == kUnknown)
    l.b.fail(ErrorKind::Mismatch, "the layer is stateful, but the batch size of its input is not fixed.",
             "Keras wants batch_shape on the model's input.");
  Values out;
  for (const CellLayer& c : cells)
    for (size_t s = 0; s < c.cell.states(); ++s) out.push_back(kept_state(l, out.size(), {batch, c.cell.units}));
  return out;
}

// The cells of a stack run one after the other over the whole sequence: what a masked step gives in between does not
// matter, because the next cell skips that step too.
math::Recurrence run_cells(std::vector<CellLayer>& cells, math::Sequence sequence, const Values& initial) {
  const bool all_outputs = sequence.all_outputs;
  math::Recurrence result;
  Values states;
  for (size_t i = 0; i < cells.size(); ++i) {
    const math::RecurrentCell& cell = cells[i].cell;
    if (!initial.empty()) {
      auto first = initial.begin() + static_cast<std::ptrdiff_t>(states.size());
      sequence.initial.assign(first, first + static_cast<std::ptrdiff_t>(cell.states()));
    }
    sequence.all_outputs = all_outputs || i + 1 < cells.size();
    result = run_cell(cells[i], sequence);
    states.insert(states.end(), result.states.begin(), result.states.end());
    sequence.x = result.outputs;
  }
  result.states = std::move(states);
  return result;
}

Tensors recurrent(Layer& l, const Call& call) {
  expect_recurrent_config(l);
  Builder& b = l.b;
  const bool time_major = l.flag("time_major"), backwards = l.flag("go_backwards");
  math::Sequence s{.x = call.one().value,
                   .mask = sequence_mask(l, call),
                   .zero_output = l.flag("zero_output_for_mask"),
                   .all_outputs = l.flag("return_sequences")};
  if (b.rank(s.x) != 3)
    b.fail(ErrorKind::Unsupported,
           fmt::format("its input has shape {}, wanted [batch, time, features].", to_string(b.dims(s.x))));
  if (time_major) {
    s.x = b.permute(s.x, {1, 0, 2});
    if (s.mask) s.mask = b.permute(s.mask, {1, 0});
  }
  std::vector<CellLayer> cells = recurrent_cells(l, b.dims(s.x)[2]);
  const Values kept = l.flag("stateful") ? state_variables(l, cells, s.x) : Values{};
  const Values initial = starting_states(l, initial_states(call), kept);
  if (backwards) {
    s.x = b.flip(s.x, {1});
    if (s.mask) s.mask = b.flip(s.mask, {1});
  }
  math::Recurrence r = run_cells(cells, s, initial);
  for (size_t i = 0; i < kept.size(); ++i) b.assign(kept[i], b.cast(r.states[i], b.dtype(kept[i])));

  Tensors out;
  if (!s.all_outputs) {
    out.push_back({r.last, {}});
  } else {
    out.push_back({time_major ? b.permute(r.outputs, {1, 0, 2}) : r.outputs, passed_mask(call)});
  }
  if (l.flag("return_state"))
    for (Value state : r.states) out.push_back({state, {}});
  return out;
}

}  // namespace

bool is_recurrent(const std::string& class_name) {
  return class_name == "LSTM" || class_name == "GRU" || class_name == "SimpleRNN" || class_name == "RNN";
}

void expect_recurrent_config(const Layer& l) {
  if (l.class_name == "RNN")
    return l.expect_config({"cell", "return_sequences", "return_state", "go_backwards", "stateful", "unroll",
                            "time_major", "zero_output_for_mask"});
  l.expect_config({"return_sequences", "return_state", "go_backwards", "stateful", "unroll", "time_major",
                   "zero_output_for_mask", "units", "activation", "recurrent_activation", "use_bias",
                   "unit_forget_bias", "dropout", "recurrent_dropout", "implementation", "reset_after", "seed",
                   "use_cudnn", "enable_caching_device"});
}

std::vector<CellLayer> recurrent_cells(Layer& l, int64_t features) {
  if (l.class_name == "RNN") return cells_of_rnn(l, features);
  const Kind kind = *cell_kind(l.class_name);
  const char* name = kind == Kind::Lstm ? "lstm_cell" : kind == Kind::Gru ? "gru_cell" : "simple_rnn_cell";
  json config = l.config;
  config.erase("name");
  std::vector<CellLayer> out;
  out.push_back(make_cell(l.child("cell", name, l.class_name + "Cell", std::move(config)), features));
  return out;
}

Values starting_states(Layer& l, const Values& given, const Values& kept) {
  Builder& b = l.b;
  Values start = given;
  if (given.empty()) start = kept;
  for (Value& v : start) v = b.cast(v, l.compute_dtype());
  if (given.empty() || kept.empty() || l.host().keras3) return start;
  Value moved;
  for (Value k : kept) {
    Value any = b.call("aten::any", {{"self", b.compare("ne", k, 0.0)}});
    moved = moved ? b.logical_or(moved, any) : any;
  }
  for (size_t i = 0; i < start.size(); ++i) start[i] = b.where(moved, b.cast(kept[i], l.compute_dtype()), start[i]);
  return start;
}

Value kept_state(Layer& l, size_t index, const Dims& dims) {
  const std::string name = fmt::format("{}/rnn_state_{}", l.path, index);
  Variables& variables = *l.b.graph().variables;
  if (!variables.find(name)) variables.add({.name = name, .dtype = l.variable_dtype(), .source_dims = dims});
  return l.b.variable(name);
}

Values initial_states(const Call& call) {
  Values out;
  auto take = [&](const Tensors& tensors, size_t from) {
    for (size_t i = from; i < tensors.size(); ++i) out.push_back(tensors[i].value);
  };
  if (auto it = call.kwargs.find("initial_state"); it != call.kwargs.end()) {
    take(it->second, 0);
  } else if (call.args.size() > 1 && !call.args[1].empty()) {
    take(call.args[1], 0);
  } else {
    take(call.inputs, 1);
  }
  return out;
}

Value passed_mask(const Call& call) {
  Value given = call.arg(2, "mask").value;
  return given ? given : call.one().mask;
}

Value sequence_mask(Layer& l, const Call& call) {
  Value mask = call.arg(2, "mask").value;
  if (!mask && !(l.host().keras3 && !initial_states(call).empty())) mask = call.one().mask;
  if (!mask) return {};
  mask = l.b.cast(mask, DType::Bool);
  return l.b.rank(mask) == 3 ? l.b.squeeze(mask, -1) : mask;
}

void register_recurrent(Registry& r) {
  for (const char* name : {"GRU", "LSTM", "RNN", "SimpleRNN"}) r.layer(name, recurrent);
  r.cells = {"GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"};
}

}  // namespace midstream::keras
