// TensorFlow 2's control flow: function calls, branches and loops over functions. TensorFlow 1's frames are raised by
// the Driver (control_v1.cpp); what is left of them here hands its input on.
#include "lower/registry.h"
#include "lower/tensorflow/driver.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

Operands operands(const Op& op, size_t first) {
  Operands out;
  for (size_t i = first; i < op.size(); ++i) out.push_back(op.operand(i));
  return out;
}

void output_all(Op& op, const Operands& results) {
  for (const Operand& o : results) op.output(o);
}

void call(Op& op) {
  op.expect_attrs({"f", "Tin", "Tout", "config", "config_proto", "executor_type"});
  output_all(op, op.call_function(op.node.attr("f").func(), operands(op, 0)));
}

void if_op(Op& op) {
  op.expect_attrs({"then_branch", "else_branch", "Tin", "Tout", "output_shapes"});
  const Operands arguments = operands(op, 1);
  auto branch = [&](const char* attr) {
    return [&op, &arguments, attr] { return op.call_function(op.node.attr(attr).func(), arguments); };
  };
  output_all(op, op.driver().cond(op.driver().predicate(op.operand(0)), branch("then_branch"), branch("else_branch")));
}

// A chain of conditions; an index outside of the branches takes the last one.
Operands choose(Op& op, const std::vector<FuncRef>& branches, size_t i, const Operands& arguments) {
  auto take = [&] { return op.call_function(branches[i], arguments); };
  if (i + 1 == branches.size()) return take();
  const Int index = op.int_value(0);
  Value here = index.is_constant() ? op.b.host_bool(index.constant() == static_cast<int64_t>(i))
                                   : op.b.call("midstream::int_eq", {{"a", index}, {"b", static_cast<int64_t>(i)}});
  return op.driver().cond(here, take, [&] { return choose(op, branches, i + 1, arguments); });
}

void case_op(Op& op) {
  op.expect_attrs({"branches", "Tin", "Tout", "output_shapes"});
  output_all(op, choose(op, op.node.attr("branches").funcs(), 0, operands(op, 1)));
}

void while_op(Op& op) {
  op.expect_attrs({"cond", "body", "T", "output_shapes", "parallel_iterations"});
  const FuncRef cond = op.node.attr("cond").func(), body = op.node.attr("body").func();
  output_all(
      op,
      op.driver().while_loop(
          operands(op, 0),
          [&](const Operands& carried) { return op.driver().predicate(op.call_function(cond, carried).at(0)); },
          [&](const Operands& carried) { return op.call_function(body, carried); }, op.driver().unchanged(body.name)));
}

// Only the side that is taken is ever reached.
void switch_op(Op& op) {
  op.expect_attrs({});
  op.output(op.operand(0));
  op.output(op.operand(0));
}

}  // namespace

void register_control(Registry& r) {
  for (const char* name : {"PartitionedCall", "StatefulPartitionedCall"}) r.tf(name, call);
  for (const char* name : {"If", "StatelessIf"}) r.tf(name, if_op);
  for (const char* name : {"Case", "StatelessCase"}) r.tf(name, case_op);
  for (const char* name : {"While", "StatelessWhile"}) r.tf(name, while_op);
  for (const char* name : {"Switch", "RefSwitch"}) r.tf(name, switch_op, {"output_false", "output_true"});
}

}  // namespace midstream::tensorflow
