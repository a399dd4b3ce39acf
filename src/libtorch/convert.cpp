#include "libtorch/convert.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace midstream {
namespace {

constexpr std::pair<DType, c10::ScalarType> kTypes[] = {
    {DType::Bool, c10::kBool},
    {DType::UInt8, c10::kByte},
    {DType::Int8, c10::kChar},
    {DType::Int16, c10::kShort},
    {DType::Int32, c10::kInt},
    {DType::Int64, c10::kLong},
    {DType::UInt16, c10::kUInt16},
    {DType::UInt32, c10::kUInt32},
    {DType::UInt64, c10::kUInt64},
    {DType::Float16, c10::kHalf},
    {DType::BFloat16, c10::kBFloat16},
    {DType::Float32, c10::kFloat},
    {DType::Float64, c10::kDouble},
    {DType::Complex64, c10::kComplexFloat},
    {DType::Complex128, c10::kComplexDouble},
};

bool wants_float(const c10::Argument& declared) {
  c10::TypePtr type = declared.type();
  if (auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
  return type->kind() == c10::TypeKind::FloatType;
}

bool wants_list(const c10::Argument& declared) {
  c10::TypePtr type = declared.type();
  if (auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
  return type->kind() == c10::TypeKind::ListType;
}

bool wants_floats(const c10::Argument& declared) {
  c10::TypePtr type = declared.type();
  if (auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
  auto list = type->cast<c10::ListType>();
  return list && list->getElementType()->kind() == c10::TypeKind::FloatType;
}

}  // namespace

c10::ScalarType to_scalar_type(DType dtype) {
  for (auto [ours, theirs] : kTypes)
    if (ours == dtype) return theirs;
  throw Error(ErrorKind::Unsupported, "", std::string(to_string(dtype)) + " tensors do not exist in PyTorch.");
}

DType from_scalar_type(c10::ScalarType dtype) {
  for (auto [ours, theirs] : kTypes)
    if (theirs == dtype) return ours;
  throw Error(ErrorKind::Internal, "", std::string("no DType for torch's ") + c10::toString(dtype) + ".");
}

c10::IValue to_ivalue(const Arg& arg, const c10::Argument& declared) {
  struct Visitor {
    const c10::Argument& declared;
    c10::IValue operator()(std::monostate) const { return {}; }
    c10::IValue operator()(Value) const { throw Error(ErrorKind::Internal, "", "to_ivalue of a Value."); }
    c10::IValue operator()(bool v) const { return v; }
    c10::IValue operator()(int64_t v) const {
      if (wants_float(declared)) return static_cast<double>(v);
      if (wants_floats(declared)) return std::vector<double>{static_cast<double>(v)};
      if (wants_list(declared)) {
        int64_t n = declared.N().value_or(1);
        return std::vector<int64_t>(static_cast<size_t>(n), v);
      }
      return v;
    }
    c10::IValue operator()(double v) const { return v; }
    c10::IValue operator()(DType v) const { return static_cast<int64_t>(to_scalar_type(v)); }
    c10::IValue operator()(const std::string& v) const { return v; }
    c10::IValue operator()(const std::vector<IntArg>& v) const {
      std::vector<int64_t> ints;
      for (const IntArg& i : v) ints.push_back(std::get<int64_t>(i));
      if (wants_floats(declared)) return std::vector<double>(ints.begin(), ints.end());
      return ints;
    }
    c10::IValue operator()(const std::vector<double>& v) const { return v; }
    c10::IValue operator()(const std::vector<bool>& v) const {
      c10::List<bool> list;
      for (bool x : v) list.push_back(x);
      return list;
    }
    c10::IValue operator()(const std::vector<Value>& v) const {
      if (!v.empty()) throw Error(ErrorKind::Internal, "", "to_ivalue of Values.");
      return c10::List<at::Tensor>();
    }
  };
  return std::visit(Visitor{declared}, arg.variant());
}

Arg from_ivalue(const c10::IValue& value) {
  if (value.isNone()) return {};
  if (value.isBool()) return value.toBool();
  if (value.isInt()) return value.toInt();
  if (value.isDouble()) return value.toDouble();
  if (value.isString()) return value.toStringRef();
  if (value.isIntList()) return Dims(value.toIntVector());
  if (value.isDoubleList()) return value.toDoubleVector();
  if (value.isBoolList()) {
    std::vector<bool> out;
    for (bool b : value.toBoolList()) out.push_back(b);
    return out;
  }
  return {};  // devices, layouts, generators: never given by a lowering
}

at::Tensor to_tensor(const Array& array) {
  auto owner = array.owner();
  void* data = const_cast<std::byte*>(array.bytes());
  return at::from_blob(
      data, array.shape(), [owner](void*) {}, at::TensorOptions().dtype(to_scalar_type(array.dtype())));
}

at::Tensor text_tensor(const Array& array) {
  size_t width = 1;
  for (const std::string& s : array.strings()) width = std::max(width, s.size());
  Dims dims = array.shape();
  dims.push_back(static_cast<int64_t>(width));
  at::Tensor out = at::zeros(dims, at::kByte);
  auto* to = out.mutable_data_ptr<uint8_t>();
  for (const std::string& s : array.strings()) {
    std::copy(s.begin(), s.end(), to);
    to += width;
  }
  return out;
}

Array to_array(const at::Tensor& tensor) {
  auto kept = std::make_shared<at::Tensor>(tensor.detach().to(at::kCPU).contiguous());
  Dims shape(kept->sizes().begin(), kept->sizes().end());
  const void* data = kept->const_data_ptr();
  return Array(from_scalar_type(kept->scalar_type()), std::move(shape), kept, data);
}

Array cast(const Array& array, DType dtype) {
  return array.dtype() == dtype ? array : to_array(to_tensor(array).to(to_scalar_type(dtype)));
}

at::Tensor apply(const Transforms& chain, at::Tensor tensor) {
  for (const Transform& t : chain) {
    if (auto* p = std::get_if<Permute>(&t)) {
      tensor = tensor.permute(p->perm);
    } else if (auto* r = std::get_if<Reshape>(&t)) {
      tensor = tensor.reshape(r->to);
    } else if (auto* f = std::get_if<Flip>(&t)) {
      tensor = tensor.flip(f->axes);
    } else if (auto* b = std::get_if<Blocks>(&t)) {
      std::vector<at::Tensor> parts = tensor.chunk(static_cast<int64_t>(b->order.size()), b->axis);
      std::vector<at::Tensor> ordered;
      for (int64_t i : b->order) ordered.push_back(parts.at(static_cast<size_t>(i)));
      tensor = at::cat(ordered, b->axis);
    }
  }
  return tensor;
}

std::string torch_message(const std::exception& error) {
  auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  std::string text = torch_error ? torch_error->what_without_backtrace() : error.what();
  if (auto end = text.find("\nException raised from"); end != std::string::npos) text.resize(end);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace midstream
