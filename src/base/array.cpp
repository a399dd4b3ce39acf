#include "base/array.h"

#include <bit>

#include "base/error.h"

namespace midstream {
namespace {

float half_to_float(uint16_t h) {
  uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    float value = static_cast<float>(mantissa) / 16777216.0f;  // 2^-24
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

template <class Out, class In>
std::vector<Out> convert(const Array& a) {
  std::vector<In> in = a.copy<In>();
  return std::vector<Out>(in.begin(), in.end());
}

template <class Out>
std::vector<Out> convert_any(const Array& a) {
  switch (a.dtype()) {
    case DType::Bool:
    case DType::UInt8: return convert<Out, uint8_t>(a);
    case DType::Int8: return convert<Out, int8_t>(a);
    case DType::Int16: return convert<Out, int16_t>(a);
    case DType::Int32: return convert<Out, int32_t>(a);
    case DType::Int64: return convert<Out, int64_t>(a);
    case DType::UInt16: return convert<Out, uint16_t>(a);
    case DType::UInt32: return convert<Out, uint32_t>(a);
    case DType::UInt64: return convert<Out, uint64_t>(a);
    case DType::Float32: return convert<Out, float>(a);
    case DType::Float64: return convert<Out, double>(a);
    case DType::Float16: {
      std::vector<Out> out;
      for (uint16_t h : a.copy<uint16_t>()) out.push_back(static_cast<Out>(half_to_float(h)));
      return out;
    }
    case DType::BFloat16: {
      std::vector<Out> out;
      for (uint16_t h : a.copy<uint16_t>())
        out.push_back(static_cast<Out>(std::bit_cast<float>(static_cast<uint32_t>(h) << 16)));
      return out;
    }
    default: throw Error(ErrorKind::Internal, "", "a " + std::string(to_string(a.dtype())) + " array is not numeric.");
  }
}

}  // namespace

Array Array::allocate(DType dtype, Dims shape, std::byte** bytes) {
  auto owner =
      std::make_shared<std::vector<std::byte>>(static_cast<size_t>(num_elements(shape)) * item_size(dtype) + 1);
  *bytes = owner->data();
  return Array(dtype, std::move(shape), owner, owner->data());
}

Array Array::of_strings(Dims shape, std::vector<std::string> values) {
  return of<std::string>(DType::String, std::move(shape), std::move(values));
}

const std::vector<std::string>& Array::strings() const {
  if (dtype_ != DType::String) throw Error(ErrorKind::Internal, "", "strings() of a numeric array.");
  return *static_cast<const std::vector<std::string>*>(owner_.get());
}

std::vector<int64_t> Array::to_int64() const { return convert_any<int64_t>(*this); }
std::vector<double> Array::to_double() const { return convert_any<double>(*this); }

Array Array::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  switch (dtype) {
    case DType::Float32: return of<float>(dtype, shape_, convert_any<float>(*this));
    case DType::Float64: return of<double>(dtype, shape_, convert_any<double>(*this));
    case DType::Int64: return of<int64_t>(dtype, shape_, convert_any<int64_t>(*this));
    default:
      throw Error(
          ErrorKind::Internal, "",
          "a " + std::string(to_string(dtype_)) + " array cannot become " + std::string(to_string(dtype)) + ".");
  }
}

Array Array::reshaped(Dims shape) const {
  if (num_elements(shape) != size())
    throw Error(ErrorKind::Internal, "", "cannot reshape " + to_string(shape_) + " to " + to_string(shape) + ".");
  Array out = *this;
  out.shape_ = std::move(shape);
  return out;
}

}  // namespace midstream
