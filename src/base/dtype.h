// Element types and shapes, with the names TensorFlow and NumPy give them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace midstream {

enum class DType : uint8_t {
  Bool,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  UInt16,
  UInt32,
  UInt64,
  Float16,
  BFloat16,
  Float32,
  Float64,
  Complex64,
  Complex128,
  String,
};

// "float32", "int64", "bool", ... as numpy and Keras write them.
std::string_view to_string(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);
// "f32", "i64", "b8", "bf16", "c64", "str": the short form of the text IR.
std::string_view short_name(DType dtype);
std::optional<DType> parse_short_dtype(std::string_view name);
// Bytes of one element; 0 for String.
size_t item_size(DType dtype);
bool is_floating(DType dtype);
bool is_integral(DType dtype);  // without Bool

// A shape; kUnknown marks a size that is only known at run time.
using Dims = std::vector<int64_t>;
inline constexpr int64_t kUnknown = -1;

// "[2, ?, 4]"
std::string to_string(const Dims& dims);
// Product of the sizes; throws Error(Internal) if one is unknown.
int64_t num_elements(const Dims& dims);

}  // namespace midstream
