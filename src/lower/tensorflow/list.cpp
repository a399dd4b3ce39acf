// TensorList and TensorArray: lists of tensors as values. A TensorArray's handle only names it; its flow is the list.
#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

Value list_at(Op& op, size_t i) {
  const Value* v = op.operand(i).value();
  if (!v || op.b.type(*v).kind != Kind::List)
    op.fail(ErrorKind::Unsupported, "input " + std::to_string(i) + " is no tensor list.");
  return *v;
}

Value set(Op& op, Value list, size_t index, size_t item) {
  return op.b.call("midstream::list_set", {{"l", list}, {"i", op.int_value(index)}, {"x", op.input(item)}});
}
Value get(Op& op, Value list, size_t index) {
  return op.b.call("midstream::list_get", {{"l", list}, {"i", op.int_value(index)}});
}
Value stack(Op& op, Value list) { return op.b.call("midstream::list_stack", {{"l", list}}); }
HostInts length(Op& op, Value list) {
  return {{op.b.call_int("midstream::list_length", {{"l", list}})}, 0, DType::Int32};
}

// --- TensorList

void reserve(Op& op) {  // element_shape, num_elements
  op.expect_attrs({});
  op.output(op.b.call("midstream::list_reserve", {{"n", op.int_value(1)}}));
}
void empty(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("midstream::list_reserve", {{"n", 0}}));
}
void from_tensor(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("midstream::list_from_tensor", {{"x", op.input(0)}}));
}
void list_set(Op& op) {  // list, index, item
  op.expect_attrs({"resize_if_index_out_of_bounds"});
  op.output(set(op, list_at(op, 0), 1, 2));
}
void list_get(Op& op) {  // list, index, element_shape
  op.expect_attrs({});
  op.output(get(op, list_at(op, 0), 1));
}
void list_stack(Op& op) {  // list, element_shape
  op.expect_attrs({"num_elements"});
  op.output(stack(op, list_at(op, 0)));
}
void list_length(Op& op) {
  op.expect_attrs({});
  op.output(length(op, list_at(op, 0)));
}
void push_back(Op& op) {
  op.expect_attrs({});
  op.output(op.b.call("midstream::list_push", {{"l", list_at(op, 0)}, {"x", op.input(1)}}));
}
void pop_back(Op& op) {
  op.expect_attrs({});
  Value list = list_at(op, 0);
  Int last = op.b.call_int("midstream::list_length", {{"l", list}}) - 1;
  op.output(op.b.call("midstream::list_pop", {{"l", list}}));
  op.output(op.b.call("midstream::list_get", {{"l", list}, {"i", last}}));
}
void list_gather(Op& op) {  // list, indices, element_shape
  op.expect_attrs({});
  op.output(op.b.call("midstream::list_gather", {{"l", list_at(op, 0)}, {"indices", op.input(1)}}));
}
void list_scatter(Op& op) {  // tensor, indices, element_shape, num_elements
  op.expect_attrs({});
  Value empty =
      op.b.call("midstream::list_reserve", {{"n", op.size() > 3 ? op.int_value(3) : op.b.size(op.input(0), 0)}});
  op.output(op.b.call("midstream::list_scatter", {{"l", empty}, {"indices", op.input(1)}, {"x", op.input(0)}}));
}

// --- TensorArray

void array(Op& op) {  // size -> handle, flow
  op.expect_attrs(
      {"element_shape", "dynamic_size", "clear_after_read", "identical_element_shapes", "tensor_array_name"});
  op.output(Opaque{"a tensor array"});
  op.output(op.b.call("midstream::list_reserve", {{"n", op.int_value(0)}}));
}
void array_write(Op& op) {  // handle, index, value, flow
  op.expect_attrs({});
  op.output(set(op, list_at(op, 3), 1, 2));
}
void array_read(Op& op) {  // handle, index, flow
  op.expect_attrs({});
  op.output(get(op, list_at(op, 2), 1));
}
void array_gather(Op& op) {  // handle, indices, flow
  op.expect_attrs({"element_shape"});
  op.output(op.b.call("midstream::list_gather", {{"l", list_at(op, 2)}, {"indices", op.input(1)}}));
}
void array_scatter(Op& op) {  // handle, indices, value, flow
  op.expect_attrs({});
  op.output(
      op.b.call("midstream::list_scatter", {{"l", list_at(op, 3)}, {"indices", op.input(1)}, {"x", op.input(2)}}));
}
void array_size(Op& op) {  // handle, flow
  op.expect_attrs({});
  op.output(length(op, list_at(op, 1)));
}
void array_concat(Op& op) {  // handle, flow -> value, lengths
  op.expect_attrs({"element_shape_except0"});
  op.output(op.b.call("aten::cat", {{"tensors", list_at(op, 1)}}));
}
void array_close(Op&) {}

}  // namespace

void register_list(Registry& r) {
  r.tf("TensorListReserve", reserve);
  r.tf("EmptyTensorList", empty);
  r.tf("TensorListFromTensor", from_tensor);
  r.tf("TensorListSetItem", list_set);
  r.tf("TensorListGetItem", list_get);
  r.tf("TensorListStack", list_stack);
  r.tf("TensorListLength", list_length);
  r.tf("TensorListPushBack", push_back);
  r.tf("TensorListPopBack", pop_back, {"output_handle", "tensor"});
  r.tf("TensorListGather", list_gather);
  for (const char* name : {"TensorListScatter", "TensorListScatterV2"}) r.tf(name, list_scatter);
  r.tf("TensorArrayV3", array, {"handle", "flow"});
  r.tf("TensorArrayWriteV3", array_write);
  r.tf("TensorArrayReadV3", array_read);
  r.tf("TensorArrayGatherV3", array_gather);
  r.tf("TensorArrayScatterV3", array_scatter);
  r.tf("TensorArraySizeV3", array_size);
  r.tf("TensorArrayConcatV3", array_concat, {"value", "lengths"});
  r.tf("TensorArrayCloseV3", array_close);
}

}  // namespace midstream::tensorflow
