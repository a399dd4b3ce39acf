// Recurrent layers under a mask, at the speed of PyTorch's packed kernels.
//
// Keras' rule for a masked step: the state stays, and the output is the previous output (zeros before the first valid
// step) or zeros (`zero_output`). The valid steps of a row, wherever they lie (holes, padding on either side), are
// therefore run as one dense sequence: they are gathered into a packed sequence, the packed kernel runs, and the
// outputs are gathered back by counting the valid steps so far. Exact in forward and gradient; a composite of aten
// calls, so autograd and every device come for free.
//
// In both directions of a bidirectional kernel the rule holds in that direction's own order: the backward half of the
// output at a masked step repeats the output of the next valid step.
#include <ATen/ATen.h>

#include "libtorch/ops.h"

namespace midstream {
namespace {

using at::Tensor;

// Where the valid steps of mask [batch, time] go. The packed kernels want rows by falling length, and none empty: a row
// without a valid step runs on one step of its own, and what that gives is thrown away.
struct Packing {
  Tensor mask, count;    // [batch, time]; valid steps up to and with this one
  Tensor rows, inverse;  // packed row -> row of the batch, and back
  Tensor steps;          // [packed step], index into the flat (batch * time)
  Tensor batch_sizes;    // on the host: rows that have a step 0, 1, ...
  Tensor position;       // [time, packed row]: index of the packed step
  Tensor any_valid;      // [batch]
};

Packing pack(const Tensor& mask) {
  const int64_t time = mask.size(1);
  Packing p;
  p.mask = mask;
  p.count = mask.cumsum(1);
  const Tensor valid = p.count.select(1, time - 1);
  p.any_valid = valid > 0;
  const Tensor lengths = valid.clamp_min(1);
  p.rows = std::get<1>(lengths.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true));
  p.inverse = p.rows.argsort();
  // Valid steps first, in their order.
  const Tensor order =
      std::get<1>(mask.logical_not().to(at::kByte).sort(/*stable=*/true, /*dim=*/1, /*descending=*/false));
  const Tensor exists = at::arange(time, lengths.options()).unsqueeze(1) < lengths.index_select(0, p.rows).unsqueeze(0);
  p.steps = ((p.rows * time).unsqueeze(0) + order.index_select(0, p.rows).t()).masked_select(exists);
  p.position = exists.flatten().cumsum(0).view_as(exists) - 1;
  const Tensor sizes = exists.sum(1).cpu();
  p.batch_sizes = sizes.narrow(0, 0, (sizes > 0).sum().item<int64_t>());
  return p;
}

Tensor packed(const Packing& p, const Tensor& x) { return x.flatten(0, 1).index_select(0, p.steps); }

// out[b, t] = packed_out[step number `at` of row b], zeros where `keep` is false.
Tensor gathered(const Packing& p, const Tensor& packed_out, const Tensor& at, const Tensor& keep) {
  const Tensor index = p.position.index({at.clamp(0, p.position.size(0) - 1), p.inverse.unsqueeze(1)});
  const Tensor out = packed_out.index_select(0, index.flatten()).unflatten(0, index.sizes());
  return at::where(keep.unsqueeze(-1), out, at::zeros({}, out.options()));
}

Tensor unpacked(const Packing& p, const Tensor& packed_out, bool bidirectional, bool zero_output) {
  const Tensor previous = p.count - 1;
  if (zero_output) return gathered(p, packed_out, previous, p.mask);
  if (!bidirectional) return gathered(p, packed_out, previous, previous >= 0);
  const std::vector<Tensor> halves = packed_out.chunk(2, -1);
  const Tensor next = p.count - p.mask.to(p.count.scalar_type());
  const Tensor total = p.count.select(1, p.count.size(1) - 1).unsqueeze(1);
  return at::cat({gathered(p, halves[0], previous, previous >= 0), gathered(p, halves[1], next, next < total)}, -1);
}

Tensor state_in(const Packing& p, const Tensor& state) { return state.index_select(1, p.rows); }
Tensor state_out(const Packing& p, const Tensor& state, const Tensor& initial) {
  return at::where(p.any_valid.view({1, -1, 1}), state.index_select(1, p.inverse), initial);
}

void check(const Tensor& x, const Tensor& mask) {
  TORCH_CHECK(x.dim() == 3 && mask.dim() == 2 && x.size(0) == mask.size(0) && x.size(1) == mask.size(1),
              "a recurrent layer's input is ", x.sizes(), " and its mask ", mask.sizes(),
              ": wanted [batch, time, features] and [batch, time]");
  TORCH_CHECK(mask.scalar_type() == at::kBool, "a recurrent layer's mask is ", mask.scalar_type(), ", wanted bool");
}

// Nothing to skip (or no step at all): the dense kernel is faster.
bool is_dense(const Tensor& mask) { return mask.numel() == 0 || mask.all().item<bool>(); }

std::tuple<Tensor, Tensor, Tensor> masked_lstm(const Tensor& x, const Tensor& mask, at::TensorList hx,
                                               at::TensorList params, bool has_biases, bool bidirectional,
                                               bool zero_output) {
  check(x, mask);
  if (is_dense(mask)) return at::lstm(x, hx, params, has_biases, 1, 0.0, true, bidirectional, /*batch_first=*/true);
  const Packing p = pack(mask);
  const std::vector<Tensor> states{state_in(p, hx[0]), state_in(p, hx[1])};
  auto [out, h, c] = at::lstm(packed(p, x), p.batch_sizes, states, params, has_biases, 1, 0.0, true, bidirectional);
  return {unpacked(p, out, bidirectional, zero_output), state_out(p, h, hx[0]), state_out(p, c, hx[1])};
}

using Dense = std::tuple<Tensor, Tensor> (*)(const Tensor&, const Tensor&, at::TensorList, bool, int64_t, double, bool,
                                             bool, bool);
using Packed = std::tuple<Tensor, Tensor> (*)(const Tensor&, const Tensor&, const Tensor&, at::TensorList, bool,
                                              int64_t, double, bool, bool);

// The kernels with one state: gru, rnn_tanh, rnn_relu.
template <Dense dense, Packed sequences>
std::tuple<Tensor, Tensor> masked(const Tensor& x, const Tensor& mask, const Tensor& hx, at::TensorList params,
                                  bool has_biases, bool bidirectional, bool zero_output) {
  check(x, mask);
  if (is_dense(mask)) return dense(x, hx, params, has_biases, 1, 0.0, true, bidirectional, /*batch_first=*/true);
  const Packing p = pack(mask);
  auto [out, h] =
      sequences(packed(p, x), p.batch_sizes, state_in(p, hx), params, has_biases, 1, 0.0, true, bidirectional);
  return {unpacked(p, out, bidirectional, zero_output), state_out(p, h, hx)};
}

using Outputs = std::vector<SampleOutput>;

// (input, mask, hx, params, has_biases, bidirectional, zero_output)
Outputs shapes(const std::vector<SampleArg>& a, const std::vector<SampleTensor>& states) {
  const SampleTensor& x = tensor(a[0]);
  const Dims& mask = tensor(a[1]).dims;
  if (x.dims.size() != 3 || mask != Dims{x.dims[0], x.dims[1]})
    bad_shape("a recurrent layer's input is " + to_string(x.dims) + " and its mask " + to_string(mask) + ".");
  const Dims state{boolean(a[5]) ? 2 : 1, x.dims[0], states[0].dims.back()};
  Outputs out{output(x.dtype, {x.dims[0], x.dims[1], state[2] * state[0]})};
  for (const SampleTensor& s : states) {
    if (s.dims != state)
      bad_shape("a recurrent layer's state is " + to_string(s.dims) + ", not " + to_string(state) + ".");
    out.push_back(output(s.dtype, s.dims));
  }
  return out;
}

}  // namespace

void register_recurrent_ops(torch::Library& library, ShapeRules& rules) {
  library.def(
      "masked_lstm(Tensor input, Tensor mask, Tensor[] hx, Tensor[] params, bool has_biases, bool bidirectional=False, "
      "bool zero_output=False) -> (Tensor, Tensor, Tensor)",
      masked_lstm);
  const std::string one_state =
      "(Tensor input, Tensor mask, Tensor hx, Tensor[] params, bool has_biases, bool bidirectional=False, "
      "bool zero_output=False) -> (Tensor, Tensor)";
  library.def(("masked_gru" + one_state).c_str(), masked<at::gru, at::gru>);
  library.def(("masked_rnn_tanh" + one_state).c_str(), masked<at::rnn_tanh, at::rnn_tanh>);
  library.def(("masked_rnn_relu" + one_state).c_str(), masked<at::rnn_relu, at::rnn_relu>);

  rules.add("midstream::masked_lstm", [](const std::vector<SampleArg>& a) {
    const auto& hx = std::get<std::vector<std::optional<SampleTensor>>>(a[2]);
    return shapes(a, {hx.at(0).value(), hx.at(1).value()});
  });
  for (const char* op : {"midstream::masked_gru", "midstream::masked_rnn_tanh", "midstream::masked_rnn_relu"})
    rules.add(op, [](const std::vector<SampleArg>& a) { return shapes(a, {tensor(a[2])}); });
}

}  // namespace midstream
