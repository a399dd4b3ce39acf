// Variables: handles, reads, assignments. What a read sees and when an assignment is written is the Driver's business.
#include "lower/registry.h"
#include "lower/tensorflow/driver.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

// A variable of the file was bound before; this one has no value in it.
void unbound_handle(Op& op) { op.output(Opaque{"the variable " + op.node.name + ", which has no value in the file"}); }

void read_variable(Op& op) {
  op.expect_attrs({});
  op.output(op.read_variable(op.variable(0)));
}

using Combine = Value (Builder::*)(Value, Value);
constexpr Combine kAdd = &Builder::add, kSub = &Builder::sub;

// Ref forms give the variable on; resource forms have no output.
OpFn assign(Combine combine) {
  return [combine](Op& op) {
    op.expect_attrs({"validate_shape", "use_locking"});
    const std::string name = op.variable(0);
    Value value = op.input(1);
    op.assign_variable(name, combine ? (op.b.*combine)(op.read_variable(name), value) : value);
    op.output(op.operand(0));
  };
}

void is_initialized(Op& op) {
  op.expect_attrs({});
  const bool known = op.operand(0).variable() != nullptr;
  op.output(Array::of(DType::Bool, {}, std::vector<uint8_t>{known}));
}

void resource(Op& op) { op.output(Opaque{op.node.op + " " + op.node.name}); }

}  // namespace

void register_state(Registry& r) {
  for (const char* name : {"VarHandleOp", "VariableV2", "Variable", "TemporaryVariable"}) r.tf(name, unbound_handle);
  r.tf("ReadVariableOp", read_variable);
  for (const char* name : {"Assign", "AssignVariableOp"}) r.tf(name, assign(nullptr));
  for (const char* name : {"AssignAdd", "AssignAddVariableOp"}) r.tf(name, assign(kAdd));
  for (const char* name : {"AssignSub", "AssignSubVariableOp"}) r.tf(name, assign(kSub));
  for (const char* name : {"VarIsInitializedOp", "IsVariableInitialized"}) r.tf(name, is_initialized);
  for (const char* name : {"HashTableV2", "MutableHashTableV2"}) r.tf(name, resource);
}

}  // namespace midstream::tensorflow
