// TF1's fused LSTM cells. Gates lie in the order i, ci (new input), f, o; the kernel multiplies [x, h].
#include "lower/math/activations.h"
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

struct Cell {
  Value w, b, wci, wcf, wco;  // peepholes: null unless used
  double forget_bias = 1, clip = -1;
};
struct Step {
  Value i, cs, f, o, ci, co, h;
};

Cell cell_of(Op& op, size_t w_at, double clip) {  // w, wci, wcf, wco, b in a row
  Cell c{.w = op.input(w_at), .b = op.input(w_at + 4), .forget_bias = op.number("forget_bias", 1), .clip = clip};
  if (op.flag("use_peephole")) c.wci = op.input(w_at + 1), c.wcf = op.input(w_at + 2), c.wco = op.input(w_at + 3);
  return c;
}

Step step(Builder& b, const Cell& cell, Value x, Value cs_prev, Value h_prev) {
  Value gates = b.add(b.matmul(b.concat({x, h_prev}, 1), cell.w), cell.b);
  const Int units = floor_div(b.size(gates, 1), 4);
  auto gate = [&](int64_t k) { return b.slice(gates, 1, units * k, units * (k + 1)); };
  auto peep = [&](Value v, Value weight, Value state) { return weight ? b.add(v, b.mul(state, weight)) : v; };
  Step s;
  s.i = math::sigmoid(b, peep(gate(0), cell.wci, cs_prev));
  s.ci = math::tanh(b, gate(1));
  s.f = math::sigmoid(b, peep(b.add(gate(2), cell.forget_bias), cell.wcf, cs_prev));
  s.cs = b.add(b.mul(s.ci, s.i), b.mul(cs_prev, s.f));
  if (cell.clip > 0) s.cs = b.clamp(s.cs, -cell.clip, cell.clip);
  s.o = math::sigmoid(b, peep(gate(3), cell.wco, s.cs));
  s.co = math::tanh(b, s.cs);
  s.h = b.mul(s.co, s.o);
  return s;
}

void block_cell(Op& op) {  // x, cs_prev, h_prev, w, wci, wcf, wco, b
  op.expect_attrs({"forget_bias", "cell_clip", "use_peephole"});
  Step s = step(op.b, cell_of(op, 3, op.number("cell_clip", 3)), op.input(0), op.input(1), op.input(2));
  op.outputs({s.i, s.cs, s.f, s.o, s.ci, s.co, s.h});
}

// The whole sequence [time, batch, features]; steps from seq_len_max on give zeros.
void block_lstm(Op& op) {  // seq_len_max, x, cs_prev, h_prev, w, wci, wcf, wco, b
  op.expect_attrs({"forget_bias", "cell_clip", "use_peephole"});
  Builder& b = op.b;
  Value x = op.input(1);
  const Int steps = b.size(x, 0);
  const Int wanted = op.int_value(0);
  if (!(wanted.is_constant() && steps.is_constant() && wanted.constant() >= steps.constant()))
    op.fail(ErrorKind::Unsupported, "runs over a number of steps that is only known at run time.");
  const Cell cell = cell_of(op, 4, op.number("cell_clip", 3));
  Value cs = op.input(2), h = op.input(3);
  std::vector<Values> columns(7);
  for (int64_t t = 0; t < steps.constant(); ++t) {
    Step s = step(b, cell, b.select(x, 0, t), cs, h);
    cs = s.cs, h = s.h;
    const Value all[] = {s.i, s.cs, s.f, s.o, s.ci, s.co, s.h};
    for (size_t k = 0; k < 7; ++k) columns[k].push_back(all[k]);
  }
  for (const Values& column : columns) op.output(b.stack(column, 0));
}

}  // namespace

void register_rnn(Registry& r) {
  const std::vector<std::string> outputs{"i", "cs", "f", "o", "ci", "co", "h"};
  r.tf("LSTMBlockCell", block_cell, outputs);
  r.tf("BlockLSTM", block_lstm, outputs);
}

}  // namespace midstream::tensorflow
