// Constants, and tensors taken apart and put together.
#include <algorithm>

#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

void const_op(Op& op) {
  op.expect_attrs({"value"});
  op.output(op.node.attr("value").tensor());
}

// A tensor handed on. Of a reference variable: its value at this point.
void identity(Op& op) {
  const VariableHandle* handle = op.operand(0).variable();
  if (handle && handle->ref)
    op.output(op.input(0));
  else
    op.output(op.operand(0));
}

void identity_n(Op& op) {
  for (size_t i = 0; i < op.size(); ++i) op.output(op.operand(i));
}

void stop_gradient(Op& op) {
  op.expect_attrs({});
  if (!op.operand(0).value() || !is_floating(op.input_dtype(0))) return op.output(op.operand(0));
  op.output(op.b.unary("aten::detach", op.input(0)));
}

void nothing(Op&) {}

void placeholder(Op& op) {
  op.fail(ErrorKind::Usage, "is an input of the graph, but no signature names it.", "Give it as an input.");
}

// --- together

bool all_host(const Op& op, size_t first, size_t last) {
  for (size_t i = first; i < last; ++i)
    if (!op.is_host(i)) return false;
  return last > first;
}

void pack(Op& op) {
  op.expect_attrs({"axis"});
  const int64_t axis = op.integer("axis", 0);
  if (all_host(op, 0, op.size()) && op.rank(0) == 0) {
    HostInts out{{}, 1, op.host(0).dtype};
    for (size_t i = 0; i < op.size(); ++i) out.values.push_back(op.host(i).values.at(0));
    return op.output(out);
  }
  op.output(op.b.stack(op.inputs(), axis));
}

void concat(Op& op, size_t axis_at, size_t first, size_t last) {
  op.expect_attrs({});
  if (all_host(op, first, last)) {
    HostInts out{{}, 1, op.host(first).dtype};
    for (size_t i = first; i < last; ++i) {
      Ints values = op.host(i).values;
      out.values.insert(out.values.end(), values.begin(), values.end());
    }
    return op.output(out);
  }
  op.output(op.b.concat(op.inputs(first, last - first), known_int(op, axis_at)));
}

void reverse(Op& op) {
  op.expect_attrs({});
  std::vector<int64_t> axes;
  if (op.node.op == "ReverseV2")
    axes = known_ints(op, 1);
  else {  // Reverse: one bool per axis
    std::vector<int64_t> flags = known_ints(op, 1);
    for (size_t i = 0; i < flags.size(); ++i)
      if (flags[i]) axes.push_back(static_cast<int64_t>(i));
  }
  if (op.is_host(0)) {
    HostInts h = op.host(0);
    if (!axes.empty()) std::reverse(h.values.begin(), h.values.end());
    return op.output(h);
  }
  op.output(op.b.flip(op.input(0), axes));
}

// Row b of batch_dim has its first seq_lengths[b] entries along seq_dim reversed.
void reverse_sequence(Op& op) {
  op.expect_attrs({"seq_dim", "batch_dim"});
  Builder& b = op.b;
  Value x = op.input(0);
  const int64_t seq = op.integer("seq_dim"), batch = op.integer("batch_dim", 0), rank = b.rank(x);
  Ints column(static_cast<size_t>(rank), Int(1)), row = column, shape = b.sizes(x);
  column[static_cast<size_t>(batch)] = shape[static_cast<size_t>(batch)];
  row[static_cast<size_t>(seq)] = shape[static_cast<size_t>(seq)];
  Value lengths = b.reshape(b.cast(op.input(1), DType::Int64), column);
  Value at =
      b.reshape(b.call("aten::arange", {{"end", shape[static_cast<size_t>(seq)]}, {"dtype", DType::Int64}}), row);
  Value mirrored = b.sub(b.sub(lengths, at), 1.0);
  Value index = b.where(b.compare("lt", at, lengths), mirrored, at);
  op.output(b.call("aten::gather", {{"self", x}, {"dim", seq}, {"index", b.expand(index, shape)}}));
}

void roll(Op& op) {
  op.expect_attrs({});
  op.output(
      op.b.call("aten::roll", {{"self", op.input(0)}, {"shifts", op.ints(1)}, {"dims", Dims(known_ints(op, 2))}}));
}

// --- apart

void unpack(Op& op) {
  op.expect_attrs({"num", "axis"});
  const int64_t axis = op.integer("axis", 0), n = op.integer("num");
  if (op.is_host(0)) {
    HostInts h = op.host(0);
    for (const Int& i : h.values) op.output(HostInts{{i}, 0, h.dtype});
    return;
  }
  Value x = op.input(0);
  for (int64_t i = 0; i < n; ++i) op.output(op.b.select(x, axis, i));
}

void split_into(Op& op, Value x, int64_t axis, const Ints& lengths) {
  Int at = 0;
  for (const Int& length : lengths) {
    op.output(op.b.slice(x, axis, at, at + length));
    at = at + length;
  }
}

void split_host(Op& op, size_t input, const Ints& lengths) {
  HostInts h = op.host(input);
  auto at = h.values.begin();
  for (const Int& length : lengths) {
    op.output(HostInts{Ints(at, at + length.constant()), 1, h.dtype});
    at += length.constant();
  }
}

void split(Op& op) {  // axis, value
  op.expect_attrs({"num_split"});
  const int64_t n = op.integer("num_split"), axis = known_int(op, 0);
  if (op.is_host(1) && op.rank(1) == 1)
    return split_host(op, 1, Ints(static_cast<size_t>(n), Int(static_cast<int64_t>(op.host(1).values.size()) / n)));
  Value x = op.input(1);
  split_into(op, x, axis, Ints(static_cast<size_t>(n), floor_div(op.b.size(x, axis), n)));
}

void split_v(Op& op) {  // value, sizes, axis; one size may be -1: the rest
  op.expect_attrs({"num_split"});
  const int64_t axis = known_int(op, 2);
  Ints lengths = op.ints(1);
  Int rest = op.is_host(0) ? Int(static_cast<int64_t>(op.host(0).values.size())) : op.b.size(op.input(0), axis);
  for (const Int& l : lengths)
    if (!(l.is_constant() && l.constant() == -1)) rest = rest - l;
  for (Int& l : lengths)
    if (l.is_constant() && l.constant() == -1) l = rest;
  if (op.is_host(0) && op.rank(0) == 1) return split_host(op, 0, lengths);
  split_into(op, op.input(0), axis, lengths);
}

}  // namespace

void register_array(Registry& r) {
  r.tf("Const", const_op);
  r.tf("HostConst", const_op);
  for (const char* name : {"Identity", "Snapshot", "PlaceholderWithDefault", "PreventGradient", "CheckNumerics",
                           "DeepCopy", "CheckNumericsV2", "LoopCond", "Enter", "RefEnter", "RefIdentity",
                           "NextIteration", "RefNextIteration", "Print"})
    r.tf(name, identity);
  r.tf("IdentityN", identity_n);
  r.tf("StopGradient", stop_gradient);
  for (const char* name : {"NoOp", "Assert", "ControlTrigger", "PrintV2", "DisableCopyOnRead"}) r.tf(name, nothing);
  r.tf("Placeholder", placeholder);
  r.tf("PlaceholderV2", placeholder);
  r.tf("Pack", pack);
  r.tf("ConcatV2", [](Op& op) { concat(op, op.size() - 1, 0, op.size() - 1); });
  r.tf("Concat", [](Op& op) { concat(op, 0, 1, op.size()); });
  r.tf("Reverse", reverse);
  r.tf("ReverseV2", reverse);
  r.tf("ReverseSequence", reverse_sequence);
  r.tf("Roll", roll);
  r.tf("Unpack", unpack);
  r.tf("Split", split);
  r.tf("SplitV", split_v);
}

}  // namespace midstream::tensorflow
