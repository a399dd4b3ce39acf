// The calls that every lowering needs, one line each. Number types are never converted silently: two tensors of
// different dtypes are refused here, where PyTorch would promote one of them.
#include <cmath>

#include "graph/builder.h"
#include "graph/builder_names.h"

namespace midstream {
namespace {

// A number as the tensor's dtype would hold it: an integer for integer tensors, so that PyTorch does not promote.
Arg scalar(DType dtype, double value) {
  const bool whole = std::floor(value) == value && std::abs(value) < 9.0e15;
  if (dtype == DType::Bool && (value == 0 || value == 1)) return Arg(value != 0);
  if (is_integral(dtype) && whole) return Arg(static_cast<int64_t>(value));
  return Arg(value);
}

Arg ints(const std::vector<int64_t>& numbers) { return Arg(Dims(numbers)); }

template <class T>
Array array_of(DType dtype, double value) {
  return Array::of(dtype, {}, std::vector<T>{static_cast<T>(value)});
}

}  // namespace

Value Builder::constant(double value, DType dtype) {
  switch (dtype) {
    case DType::Bool: return constant(Array::of(dtype, {}, std::vector<uint8_t>{value != 0}));
    case DType::UInt8: return constant(array_of<uint8_t>(dtype, value));
    case DType::Int8: return constant(array_of<int8_t>(dtype, value));
    case DType::Int16: return constant(array_of<int16_t>(dtype, value));
    case DType::Int32: return constant(array_of<int32_t>(dtype, value));
    case DType::Int64: return constant(array_of<int64_t>(dtype, value));
    case DType::UInt16: return constant(array_of<uint16_t>(dtype, value));
    case DType::UInt32: return constant(array_of<uint32_t>(dtype, value));
    case DType::UInt64: return constant(array_of<uint64_t>(dtype, value));
    case DType::Float32: return constant(array_of<float>(dtype, value));
    case DType::Float64: return constant(array_of<double>(dtype, value));
    case DType::Complex64: return constant(Array::of(dtype, {}, std::vector<float>{static_cast<float>(value), 0.0F}));
    case DType::Complex128: return constant(Array::of(dtype, {}, std::vector<double>{value, 0.0}));
    case DType::Float16:
    case DType::BFloat16: return full({}, value, dtype);
    case DType::String: break;
  }
  fail(ErrorKind::Internal, "a number is no constant of type string.");
}

Value Builder::cast(Value v, DType to) {
  return dtype(v) == to ? v : call("aten::to.dtype", {{"self", v}, {"dtype", to}});
}

Value Builder::permute(Value v, std::vector<int64_t> perm) {
  bool identity = static_cast<int64_t>(perm.size()) == rank(v);
  for (size_t i = 0; i < perm.size(); ++i) identity &= perm[i] == static_cast<int64_t>(i);
  return identity ? v : call(op::kPermute, {{"self", v}, {"dims", ints(perm)}});
}

Value Builder::reshape(Value v, const Ints& shape) {
  const Dims& now = dims(v);
  bool identity = now.size() == shape.size();
  for (size_t i = 0; identity && i < shape.size(); ++i)
    identity = now[i] != kUnknown && shape[i].is_constant() && shape[i].constant() == now[i];
  return identity ? v : call(op::kReshape, {{"self", v}, {"shape", shape}});
}

Value Builder::expand(Value v, const Ints& shape) {
  if (shape.empty()) return v;
  return call("aten::expand", {{"self", v}, {"size", shape}});
}
Value Builder::unsqueeze(Value v, int64_t dim) { return call("aten::unsqueeze", {{"self", v}, {"dim", dim}}); }
Value Builder::squeeze(Value v, int64_t dim) { return call("aten::squeeze.dim", {{"self", v}, {"dim", dim}}); }

Value Builder::slice(Value v, int64_t dim, const Int& start, const Int& end, int64_t step) {
  return call("aten::slice.Tensor", {{"self", v}, {"dim", dim}, {"start", start}, {"end", end}, {"step", step}});
}

Value Builder::select(Value v, int64_t dim, const Int& index) {
  return call("aten::select.int", {{"self", v}, {"dim", dim}, {"index", index}});
}

Value Builder::concat(const Values& vs, int64_t dim) {
  return vs.size() == 1 ? vs[0] : call("aten::cat", {{"tensors", vs}, {"dim", dim}});
}

Value Builder::stack(const Values& vs, int64_t dim) { return call("aten::stack", {{"tensors", vs}, {"dim", dim}}); }

Value Builder::flip(Value v, std::vector<int64_t> axes) {
  return axes.empty() ? v : call("aten::flip", {{"self", v}, {"dims", ints(axes)}});
}

Value Builder::pad(Value v, const Ints& last_dim_first, double value) {
  bool nothing = true;
  for (const Int& i : last_dim_first) nothing &= i.is_constant() && i.constant() == 0;
  if (nothing) return v;
  Args args{{"self", v}, {"pad", last_dim_first}};
  if (value != 0) args.push_back({"value", scalar(dtype(v), value)});
  return call("aten::constant_pad_nd", std::move(args));
}

// --- arithmetic

Value Builder::binary(const char* op, Value a, Value b) {
  if (dtype(a) != dtype(b))
    fail(ErrorKind::Internal,
         std::string(op) + " of " + to_string(type(a)) + " and " + to_string(type(b)) + ": the number types differ.",
         "Cast one of them.");
  return call(std::string(op) + ".Tensor", {{"self", a}, {"other", b}});
}

Value Builder::binary(const char* op, Value a, double b) {
  return call(std::string(op) + ".Scalar", {{"self", a}, {"other", scalar(dtype(a), b)}});
}

Value Builder::add(Value a, Value b) { return binary("aten::add", a, b); }
Value Builder::sub(Value a, Value b) { return binary("aten::sub", a, b); }
Value Builder::mul(Value a, Value b) { return binary("aten::mul", a, b); }
Value Builder::div(Value a, Value b) { return binary("aten::div", a, b); }
Value Builder::add(Value a, double b) { return binary("aten::add", a, b); }
Value Builder::sub(Value a, double b) { return binary("aten::sub", a, b); }
Value Builder::mul(Value a, double b) { return binary("aten::mul", a, b); }
Value Builder::div(Value a, double b) { return binary("aten::div", a, b); }
Value Builder::rsub(double a, Value b) {
  return call("aten::rsub.Scalar", {{"self", b}, {"other", scalar(dtype(b), a)}});
}
Value Builder::neg(Value v) { return unary("aten::neg", v); }
Value Builder::exp(Value v) { return unary("aten::exp", v); }
Value Builder::log(Value v) { return unary("aten::log", v); }
Value Builder::sqrt(Value v) { return unary("aten::sqrt", v); }
Value Builder::square(Value v) { return mul(v, v); }
Value Builder::abs(Value v) { return unary("aten::abs", v); }

Value Builder::clamp(Value v, std::optional<double> lo, std::optional<double> hi) {
  auto bound = [&](const std::optional<double>& x) { return x ? scalar(dtype(v), *x) : Arg(); };
  return call("aten::clamp", {{"self", v}, {"min", bound(lo)}, {"max", bound(hi)}});
}

Value Builder::matmul(Value a, Value b) { return call("aten::matmul", {{"self", a}, {"other", b}}); }

// Empty dims: all. PyTorch sums small integers as int64; here they keep their type, as in TensorFlow.
Value Builder::reduce(const char* all, const char* some, Value v, std::vector<int64_t> dims, bool keepdim) {
  Args args{{"self", v}};
  const bool to_all = dims.empty() && (!keepdim || rank(v) == 0);
  if (!to_all) {
    if (dims.empty())
      for (int64_t i = 0; i < rank(v); ++i) dims.push_back(i);
    args.push_back({"dim", ints(dims)});
    args.push_back({"keepdim", keepdim});
  }
  if (is_integral(dtype(v))) args.push_back({"dtype", dtype(v)});
  return call(to_all ? all : some, std::move(args));
}

Value Builder::sum(Value v, std::vector<int64_t> dims, bool keepdim) {
  if (rank(v) == 0 && is_floating(dtype(v))) return v;
  return reduce("aten::sum", "aten::sum.dim_IntList", v, std::move(dims), keepdim);
}

Value Builder::mean(Value v, std::vector<int64_t> dims, bool keepdim) {
  return reduce("aten::mean", "aten::mean.dim", v, std::move(dims), keepdim);
}

Value Builder::amax(Value v, std::vector<int64_t> dims, bool keepdim) {
  return call("aten::amax", {{"self", v}, {"dim", ints(dims)}, {"keepdim", keepdim}});
}

Value Builder::where(Value cond, Value a, Value b) {
  if (dtype(a) != dtype(b))
    fail(ErrorKind::Internal,
         "where of " + to_string(type(a)) + " and " + to_string(type(b)) + ": the number types differ.",
         "Cast one of them.");
  return call("aten::where.self", {{"condition", cond}, {"self", a}, {"other", b}});
}

Value Builder::compare(const std::string& how, Value a, Value b) { return binary(("aten::" + how).c_str(), a, b); }
Value Builder::compare(const std::string& how, Value a, double b) { return binary(("aten::" + how).c_str(), a, b); }

Value Builder::logical_and(Value a, Value b) { return call("aten::logical_and", {{"self", a}, {"other", b}}); }
Value Builder::logical_or(Value a, Value b) { return call("aten::logical_or", {{"self", a}, {"other", b}}); }
Value Builder::logical_not(Value a) { return unary("aten::logical_not", a); }
Value Builder::zeros_like(Value v) { return unary("aten::zeros_like", v); }
Value Builder::ones_like(Value v) { return unary("aten::ones_like", v); }

Value Builder::full(const Ints& shape, double value, DType dtype) {
  return call("aten::full", {{"size", shape}, {"fill_value", scalar(dtype, value)}, {"dtype", dtype}});
}

}  // namespace midstream
