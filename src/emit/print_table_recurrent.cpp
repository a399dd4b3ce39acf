// Recurrent kernels as small modules: torch.nn's have two biases where Keras trains one, and torch.compile does not
// trace them.
#include "emit/raise_args.h"

namespace midstream::emit {
namespace {

struct Kernel {
  const char* name;  // of the class
  bool one_bias;     // the kernel's second bias is a constant zero
  size_t states;
};
constexpr Kernel kLstm{"LSTM", true, 2}, kGru{"GRU", false, 1}, kTanh{"TanhRNN", true, 1}, kRelu{"ReluRNN", true, 1};

// The one variable behind both biases of a direction, null where there is none; nothing where it is another pattern.
std::optional<Value> bias_of(const NodeView& v, const Kernel& kernel, Value b_ih, Value b_hh) {
  if (kernel.one_bias) {
    const auto zeros = v.definition(b_hh, "aten::zeros_like");
    if (!zeros || zeros->value("self") != b_ih) return std::nullopt;
    return b_ih;
  }
  const auto first = v.definition(b_ih, "aten::select.int"), second = v.definition(b_hh, "aten::select.int");
  if (!first || !second || first->value("self") != second->value("self")) return std::nullopt;
  if (first->integer("dim") != 0 || first->integer("index") != 0 || second->integer("index") != 1) return std::nullopt;
  return first->value("self");
}

bool zero_states(const NodeView& v, const std::vector<Value>& states) {
  for (const Value state : states) {
    const auto full = v.definition(state, "aten::full");
    if (!full || full->number("fill_value") != 0) return false;
  }
  return true;
}

template <const Kernel& kernel, bool masked>
std::optional<Raised> recurrent(const NodeView& v) {
  const std::vector<Value> params = v.values("params");
  const bool biases = v.flag("has_biases"), both = v.flag("bidirectional");
  const size_t each = biases ? 4 : 2;
  if (params.size() != each * (both ? 2 : 1) || v.integer("num_layers", 1) != 1 || v.number("dropout") != 0)
    return std::nullopt;
  if (!masked && !v.flag("batch_first")) return std::nullopt;
  const bool cell_state = kernel.states == 2 && (!masked || v.is_used(2));
  Raised r{.type = std::string(masked ? "Masked" : "") + kernel.name + (masked && cell_state ? "WithStates" : ""),
           .result = cell_state ? "{0}, {1}, {2}" : "{0}, {1}",
           .heavy = true};
  if (both) r.type = "Bidirectional" + r.type;
  r.helper = r.type;
  const Dims& w_hh = v.dims(params[1]);
  r.args = {positional("input_size", v.dims(params[0])[1]), positional("hidden_size", w_hh[1])};
  if (!biases) r.args.push_back(text_argument("bias", "False"));
  if (masked) r.args.push_back(keyword("zero_output", v.flag("zero_output"), false));
  for (size_t d = 0; d < params.size() / each; ++d) {
    const std::string prefix = !both ? "" : d == 0 ? "forward_layer." : "backward_layer.";
    const auto bias = biases ? bias_of(v, kernel, params[d * each + 2], params[d * each + 3]) : Value{};
    if (!bias) return std::nullopt;
    r.tensors.push_back({prefix + "weight_ih", params[d * each]});
    r.tensors.push_back({prefix + "weight_hh", params[d * each + 1]});
    r.tensors.push_back({prefix + "bias", *bias});
  }
  for (const auto& t : r.tensors)
    if (t.value && !v.is_variable(t.value)) return std::nullopt;
  std::vector<Value> states = v.values("hx");
  if (const Value one = v.value("hx")) states = {one};
  r.call = masked ? "{input}, {mask}" : "{input}";
  if (!zero_states(v, states)) r.call += ", {hx}";
  return r;
}

}  // namespace

std::vector<ModuleRow> recurrent_rows() {
  return {
      {"aten::lstm.input", recurrent<kLstm, false>},          {"aten::gru.input", recurrent<kGru, false>},
      {"aten::rnn_tanh.input", recurrent<kTanh, false>},      {"aten::rnn_relu.input", recurrent<kRelu, false>},
      {"midstream::masked_lstm", recurrent<kLstm, true>},     {"midstream::masked_gru", recurrent<kGru, true>},
      {"midstream::masked_rnn_tanh", recurrent<kTanh, true>}, {"midstream::masked_rnn_relu", recurrent<kRelu, true>},
  };
}

}  // namespace midstream::emit
