#include "base/dtype.h"

#include <array>

#include "base/error.h"

namespace midstream {
namespace {

struct Row {
  DType dtype;
  std::string_view name, short_name;
  size_t size;
};

constexpr std::array<Row, 16> kRows{{
    {DType::Bool, "bool", "b8", 1},
    {DType::UInt8, "uint8", "u8", 1},
    {DType::Int8, "int8", "i8", 1},
    {DType::Int16, "int16", "i16", 2},
    {DType::Int32, "int32", "i32", 4},
    {DType::Int64, "int64", "i64", 8},
    {DType::UInt16, "uint16", "u16", 2},
    {DType::UInt32, "uint32", "u32", 4},
    {DType::UInt64, "uint64", "u64", 8},
    {DType::Float16, "float16", "f16", 2},
    {DType::BFloat16, "bfloat16", "bf16", 2},
    {DType::Float32, "float32", "f32", 4},
    {DType::Float64, "float64", "f64", 8},
    {DType::Complex64, "complex64", "c64", 8},
    {DType::Complex128, "complex128", "c128", 16},
    {DType::String, "string", "str", 0},
}};

const Row& row(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

}  // namespace

std::string_view to_string(DType dtype) { return row(dtype).name; }
std::string_view short_name(DType dtype) { return row(dtype).short_name; }
size_t item_size(DType dtype) { return row(dtype).size; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const Row& r : kRows)
    if (r.name == name) return r.dtype;
  return std::nullopt;
}

std::optional<DType> parse_short_dtype(std::string_view name) {
  for (const Row& r : kRows)
    if (r.short_name == name) return r.dtype;
  return std::nullopt;
}

bool is_floating(DType dtype) {
  return dtype == DType::Float16 || dtype == DType::BFloat16 || dtype == DType::Float32 || dtype == DType::Float64;
}

bool is_integral(DType dtype) { return dtype >= DType::UInt8 && dtype <= DType::UInt64; }

std::string to_string(const Dims& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i) text += ", ";
    text += dims[i] == kUnknown ? "?" : std::to_string(dims[i]);
  }
  return text + "]";
}

int64_t num_elements(const Dims& dims) {
  int64_t n = 1;
  for (int64_t d : dims) {
    if (d < 0) throw Error(ErrorKind::Internal, "", "num_elements of " + to_string(dims) + ".");
    // Shapes come from files: one whose size does not fit 64 bits is no tensor's.
    if (__builtin_mul_overflow(n, d, &n))
      throw Error(ErrorKind::BadFile, "", "a tensor of shape " + to_string(dims) + " has more elements than can be.");
  }
  return n;
}

}  // namespace midstream
