// The Python definitions of recurrent modules: one text for all kernels, filled in for each.
#include <map>

#include "emit/print_table.h"

namespace midstream::emit {
namespace {

constexpr std::string_view kLayer = R"(class @NAME(nn.Module):
    """nn.@TORCH as Keras trains it (one layer, batch first): @DOC."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        bound = hidden_size**-0.5
        self.weight_ih = nn.Parameter(torch.empty(@GATEShidden_size, input_size).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(@GATEShidden_size, hidden_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(@BIAS)) if bias else None

    def forward(self, x: Tensor, hx: @STATE | None = None) -> tuple[Tensor, ...]:
        if hx is None:
            hx = @ZEROS
        weights = [self.weight_ih, self.weight_hh]
        if self.bias is not None:
            weights += @PAIR
        return torch.@KERNEL(x, hx, weights, self.bias is not None, 1, 0.0, True, False, True))";

constexpr std::string_view kMasked = R"(class Masked@NAME(@NAME):
    """Skips masked steps: they keep the state, and repeat the output before them or give zeros."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, zero_output: bool = False) -> None:
        super().__init__(input_size, hidden_size, bias)
        self.zero_output = zero_output

    def forward(self, x: Tensor, mask: Tensor, hx: @STATE | None = None) -> tuple[Tensor, Tensor]:
        order = mask.sort(dim=1, descending=True, stable=True).indices  # the valid steps first
        y, *_ = super().forward(x.gather(1, order.unsqueeze(-1).expand_as(x)), hx)
        count = mask.cumsum(dim=1).unsqueeze(-1)
        y = y.gather(1, (count - 1).clamp(min=0).expand(-1, -1, y.shape[-1]))
        h = torch.where(count[:, -1] > 0, y[:, -1], 0.0 if hx is None else @FIRST)
        return torch.where(mask.unsqueeze(-1) if self.zero_output else count > 0, y, 0.0), h.unsqueeze(0))";

// The last cell state is not among what the kernel returns for a padded sequence; for a packed one it is.
constexpr std::string_view kMaskedWithStates = R"(class MaskedLSTMWithStates(MaskedLSTM):
    """MaskedLSTM that returns the cell state after the last valid step, too."""

    def forward(
        self, x: Tensor, mask: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if hx is None:
            hx = (x.new_zeros(1, x.shape[0], self.weight_hh.shape[1]),) * 2
        order = mask.sort(dim=1, descending=True, stable=True).indices  # the valid steps first
        count = mask.cumsum(dim=1).unsqueeze(-1)
        packed = nn.utils.rnn.pack_padded_sequence(
            x.gather(1, order.unsqueeze(-1).expand_as(x)),
            count[:, -1, 0].clamp(min=1).cpu(),  # a row without a valid step runs one step, which does not count
            batch_first=True,
            enforce_sorted=False,
        )
        weights = [self.weight_ih, self.weight_hh]
        if self.bias is not None:
            weights += [self.bias, torch.zeros_like(self.bias)]
        states = [state.index_select(1, packed.sorted_indices) for state in hx]
        data, h, c = torch.lstm(
            packed.data, packed.batch_sizes, states, weights, self.bias is not None, 1, 0.0, True, False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(
            packed._replace(data=data), batch_first=True, total_length=x.shape[1]
        )
        y = y.gather(1, (count - 1).clamp(min=0).expand(-1, -1, y.shape[-1]))
        any_valid = count[:, -1] > 0
        h = torch.where(any_valid, h.index_select(1, packed.unsorted_indices), hx[0])
        c = torch.where(any_valid, c.index_select(1, packed.unsorted_indices), hx[1])
        return torch.where(mask.unsqueeze(-1) if self.zero_output else count > 0, y, 0.0), h, c)";

constexpr std::string_view kBothWithStates = R"(class BidirectionalMaskedLSTMWithStates(nn.Module):
    """One layer forwards in time and one backwards, their outputs side by side; both skip masked steps."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, zero_output: bool = False) -> None:
        super().__init__()
        self.forward_layer = MaskedLSTMWithStates(input_size, hidden_size, bias, zero_output)
        self.backward_layer = MaskedLSTMWithStates(input_size, hidden_size, bias, zero_output)

    def forward(
        self, x: Tensor, mask: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        first, second = (None, None) if hx is None else ((hx[0][:1], hx[1][:1]), (hx[0][1:], hx[1][1:]))
        y, *h = self.forward_layer(x, mask, first)
        z, *g = self.backward_layer(x.flip(1), mask.flip(1), second)
        return torch.cat((y, z.flip(1)), dim=-1), *(torch.cat(states) for states in zip(h, g)))";

constexpr std::string_view kBoth = R"(class Bidirectional@NAME(nn.Module):
    """One layer forwards in time and one backwards, their outputs side by side."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.forward_layer = @NAME(input_size, hidden_size, bias)
        self.backward_layer = @NAME(input_size, hidden_size, bias)

    def forward(self, x: Tensor, hx: @STATE | None = None) -> tuple[Tensor, ...]:
        first, second = (None, None) if hx is None else @SPLIT
        y, *h = self.forward_layer(x, first)
        z, *g = self.backward_layer(x.flip(1), second)
        return torch.cat((y, z.flip(1)), dim=-1), *(torch.cat(states) for states in zip(h, g)))";

constexpr std::string_view kBothMasked = R"(class BidirectionalMasked@NAME(nn.Module):
    """One layer forwards in time and one backwards, their outputs side by side; both skip masked steps."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, zero_output: bool = False) -> None:
        super().__init__()
        self.forward_layer = Masked@NAME(input_size, hidden_size, bias, zero_output)
        self.backward_layer = Masked@NAME(input_size, hidden_size, bias, zero_output)

    def forward(self, x: Tensor, mask: Tensor, hx: @STATE | None = None) -> tuple[Tensor, Tensor]:
        first, second = (None, None) if hx is None else @SPLIT
        y, h = self.forward_layer(x, mask, first)
        z, g = self.backward_layer(x.flip(1), mask.flip(1), second)
        return torch.cat((y, z.flip(1)), dim=-1), torch.cat((h, g)))";

using Words = std::map<std::string, std::string>;

std::string filled(std::string_view text, const Words& words) {
  std::string out(text);
  for (const auto& [word, with] : words)
    for (size_t at = out.find(word); at != std::string::npos; at = out.find(word, at + with.size()))
      out.replace(at, word.size(), with);
  return out;
}

// What the kernels differ in.
std::vector<Words> kernels() {
  const Words one_state{{"@STATE", "Tensor"},
                        {"@ZEROS", "x.new_zeros(1, x.shape[0], self.weight_hh.shape[1])"},
                        {"@FIRST", "hx[0]"},
                        {"@SPLIT", "(hx[:1], hx[1:])"}};
  const Words one_bias{{"@PAIR", "[self.bias, torch.zeros_like(self.bias)]"},
                       {"@DOC", "with one bias, PyTorch's second\n    would double the bias's steps"}};
  Words lstm{{"@NAME", "LSTM"},
             {"@TORCH", "LSTM"},
             {"@KERNEL", "lstm"},
             {"@GATES", "4 * "},
             {"@BIAS", "4 * hidden_size"},
             {"@STATE", "tuple[Tensor, Tensor]"},
             {"@ZEROS", "(x.new_zeros(1, x.shape[0], self.weight_hh.shape[1]),) * 2"},
             {"@FIRST", "hx[0][0]"},
             {"@SPLIT", "((hx[0][:1], hx[1][:1]), (hx[0][1:], hx[1][1:]))"}};
  lstm.insert(one_bias.begin(), one_bias.end());
  Words gru{{"@NAME", "GRU"},
            {"@TORCH", "GRU"},
            {"@KERNEL", "gru"},
            {"@GATES", "3 * "},
            {"@BIAS", "2, 3 * hidden_size"},
            {"@PAIR", "[self.bias[0], self.bias[1]]"},
            {"@DOC", "both biases are one parameter"}};
  gru.insert(one_state.begin(), one_state.end());
  std::vector<Words> out{lstm, gru};
  for (const std::string kind : {"tanh", "relu"}) {
    Words rnn{{"@NAME", kind == "tanh" ? "TanhRNN" : "ReluRNN"},
              {"@TORCH", "RNN"},
              {"@KERNEL", "rnn_" + kind},
              {"@GATES", ""},
              {"@BIAS", "hidden_size"}};
    rnn.insert(one_state.begin(), one_state.end());
    rnn.insert(one_bias.begin(), one_bias.end());
    out.push_back(rnn);
  }
  return out;
}

}  // namespace

std::vector<HelperText> recurrent_helpers() {
  std::vector<HelperText> out;
  for (const Words& words : kernels()) {
    const std::string name = words.at("@NAME");
    out.push_back({name, filled(kLayer, words), {}});
    out.push_back({"Masked" + name, filled(kMasked, words), {name}});
    out.push_back({"Bidirectional" + name, filled(kBoth, words), {name}});
    out.push_back({"BidirectionalMasked" + name, filled(kBothMasked, words), {"Masked" + name}});
  }
  out.push_back({"MaskedLSTMWithStates", std::string(kMaskedWithStates), {"MaskedLSTM"}});
  out.push_back({"BidirectionalMaskedLSTMWithStates", std::string(kBothWithStates), {"MaskedLSTMWithStates"}});
  return out;
}

}  // namespace midstream::emit
