// Builder: calls, sizes, origins. Leaves, control flow and sugar are in builder_*.cpp.
#include "graph/builder.h"

#include "graph/builder_names.h"
#include "graph/call.h"

namespace midstream {

Values Builder::call_all(const std::string& op, Args args) {
  return append_call(graph_, *block_, dialect_, op, args, origin_);
}

Value Builder::call(const std::string& op, Args args) {
  Values outputs = call_all(op, std::move(args));
  if (outputs.empty()) fail(ErrorKind::Internal, op + " gives no result.");
  return outputs[0];
}

Int Builder::call_int(const std::string& op, Args args) {
  bool constant = true;
  for_each_operand(args, [&](Value) { constant = false; });
  auto node = make_call(graph_, dialect_, op, args, origin_);
  if (node->outputs.empty() || type(node->outputs[0]).kind != Kind::Int)
    fail(ErrorKind::Internal, op + " gives no host integer.");
  Value v = node->outputs[0];
  if (constant) return graph_.info(v).samples[0].number;
  block_->nodes.push_back(std::move(node));
  return Int(*this, v);
}

// --- sizes

Int Builder::size(Value v, int64_t dim) {
  const ValueInfo& info = graph_.info(v);
  if (info.type.kind != Kind::Tensor)
    fail(ErrorKind::Internal, "the size of a " + to_string(info.type) + " was asked for.");
  const auto rank = static_cast<int64_t>(info.type.dims.size());
  const int64_t axis = dim < 0 ? dim + rank : dim;
  if (axis < 0 || axis >= rank)
    fail(ErrorKind::Internal,
         "axis " + std::to_string(dim) + " of a tensor " + to_string(info.type) + " was asked for.");
  const int64_t known = info.type.dims[static_cast<size_t>(axis)];
  if (known != kUnknown) return known;
  return call_int(op::kSize, {{"self", v}, {"dim", axis}});
}

Ints Builder::sizes(Value v) {
  Ints out;
  for (int64_t i = 0; i < rank(v); ++i) out.push_back(size(v, i));
  return out;
}

Int Builder::as_int(Value v) {
  const ValueInfo& info = graph_.info(v);
  if (info.leaf == LeafKind::Constant) {
    const Array& array = graph_.constants[static_cast<size_t>(info.index)];
    if (array.size() == 1 && (is_integral(array.dtype()) || array.dtype() == DType::Bool)) return array.to_int64()[0];
  }
  if (info.type.kind == Kind::Int) return Int(*this, v);
  if (info.type.kind != Kind::Tensor || !info.type.dims.empty() || !is_integral(info.type.dtype))
    fail(ErrorKind::Internal, "a host integer was wanted, not " + to_string(info.type) + ".");
  return call_int(op::kTensorToInt, {{"a", v}});
}

Value Builder::tensor_of(const Ints& ints) {
  std::vector<int64_t> numbers;
  for (const Int& i : ints)
    if (i.is_constant()) numbers.push_back(i.constant());
  if (numbers.size() == ints.size()) {
    const auto n = static_cast<int64_t>(numbers.size());
    return constant(Array::of(DType::Int64, {n}, std::move(numbers)));
  }
  return call("midstream::ints_to_tensor", {{"a", ints}});
}

Value Builder::tensor_of(const Int& i) {
  if (i.is_constant()) return constant(Array::of(DType::Int64, {}, std::vector<int64_t>{i.constant()}));
  return call(op::kIntToTensor, {{"a", i}});
}

// --- where we are

Builder::At::At(Builder& b, Origin origin) : b_(b), saved_(b.origin_) {
  auto& origins = b.graph_.origins;
  if (origins.empty() || !(origins.back() == origin)) origins.push_back(std::move(origin));
  b.origin_ = static_cast<int32_t>(origins.size() - 1);
}

Builder::At::~At() { b_.origin_ = saved_; }

void Builder::fail(ErrorKind kind, std::string message, std::string hint) const {
  std::string where = origin_ < 0 ? std::string() : to_string(graph_.origins[static_cast<size_t>(origin_)]);
  throw Error(kind, std::move(where), std::move(message), std::move(hint));
}

void Builder::scope(std::string path, std::string op) {
  for (const Scope& s : graph_.scopes)
    if (s.path == path) return;
  graph_.scopes.push_back({std::move(path), std::move(op)});
}

}  // namespace midstream
