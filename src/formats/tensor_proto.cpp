// TensorProto, TensorShapeProto and DataType. See graphdef.h.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats/checks.h"
#include "formats/graphdef.h"
#include "formats/wire.h"

namespace midstream {
namespace {

constexpr int32_t kRefOffset = 100;

struct TypeRow {
  TfType type;
  const char* name;
  std::optional<DType> dtype;
};
const TypeRow kTypes[] = {
    {TfType::Float, "float32", DType::Float32},
    {TfType::Double, "float64", DType::Float64},
    {TfType::Int32, "int32", DType::Int32},
    {TfType::UInt8, "uint8", DType::UInt8},
    {TfType::Int16, "int16", DType::Int16},
    {TfType::Int8, "int8", DType::Int8},
    {TfType::String, "string", DType::String},
    {TfType::Complex64, "complex64", DType::Complex64},
    {TfType::Int64, "int64", DType::Int64},
    {TfType::Bool, "bool", DType::Bool},
    {TfType::QInt8, "qint8", {}},
    {TfType::QUInt8, "quint8", {}},
    {TfType::QInt32, "qint32", {}},
    {TfType::BFloat16, "bfloat16", DType::BFloat16},
    {TfType::QInt16, "qint16", {}},
    {TfType::QUInt16, "quint16", {}},
    {TfType::UInt16, "uint16", DType::UInt16},
    {TfType::Complex128, "complex128", DType::Complex128},
    {TfType::Half, "float16", DType::Float16},
    {TfType::Resource, "resource", {}},
    {TfType::Variant, "variant", {}},
    {TfType::UInt32, "uint32", DType::UInt32},
    {TfType::UInt64, "uint64", DType::UInt64},
};

const TypeRow* row(TfType type) {
  for (const TypeRow& r : kTypes)
    if (r.type == type) return &r;
  return nullptr;
}

// The fields of a TensorProto that matter, values not yet converted.
struct Values {
  TfType dtype = TfType::Invalid;
  TfShape shape = Dims{};
  std::optional<SharedBytes> content;
  std::vector<int64_t> integers;  // half_val, int_val, int64_val, bool_val, uint32_val, uint64_val
  std::vector<float> floats;      // float_val, scomplex_val
  std::vector<double> doubles;    // double_val, dcomplex_val
  std::vector<std::string> strings;
};

Values read_values(const std::string& name, const SharedBytes& message) {
  Values v;
  Wire w(message, name);
  while (w.next()) switch (w.field()) {
      case 1: v.dtype = static_cast<TfType>(w.integer()); break;
      case 2: v.shape = parse_shape(name, w.bytes()); break;
      case 4: v.content = w.bytes(); break;
      case 5:
      case 9: w.floats(v.floats); break;
      case 6:
      case 12: w.doubles(v.doubles); break;
      case 8: v.strings.push_back(w.text()); break;
      case 7:
      case 10:
      case 11:
      case 13:
      case 16:
      case 17: w.integers(v.integers); break;
      default: w.skip();
    }
  return v;
}

// Fills the array with the values, the last one repeated; with zeros if there are none.
template <class To, class From>
Array filled(DType dtype, Dims shape, const std::vector<From>& values) {
  std::byte* bytes = nullptr;
  Array out = Array::allocate(dtype, std::move(shape), &bytes);
  if (values.empty()) return out;
  size_t count = out.nbytes() / sizeof(To), given = std::min(count, values.size());
  for (size_t i = 0; i < count; ++i) {
    To value = static_cast<To>(values[i < given ? i : values.size() - 1]);
    std::memcpy(bytes + i * sizeof(To), &value, sizeof(To));
  }
  return out;
}

// Real and imaginary parts alternate: the last pair is repeated.
template <class T>
Array filled_complex(DType dtype, Dims shape, std::vector<T> values) {
  values.resize(values.size() / 2 * 2);
  size_t wanted = static_cast<size_t>(num_elements(shape)) * 2;
  while (!values.empty() && values.size() < wanted) values.push_back(values[values.size() - 2]);
  return filled<T>(dtype, std::move(shape), values);
}

// TensorFlow's EncodeStringList: all lengths as varints, then all bytes.
std::vector<std::string> split_strings(const std::string& name, Bytes content, size_t count) {
  const char *at = reinterpret_cast<const char*>(content.data()), *end = at + content.size();
  auto bad = [&]() -> void {
    throw Error(ErrorKind::BadFile, name, "its string data are broken.", "The file is damaged.");
  };
  if (count > content.size()) bad();
  std::vector<uint64_t> lengths(count);
  for (uint64_t& length : lengths) try {
      length = protozero::decode_varint(&at, end);
    } catch (const protozero::exception&) {
      bad();
    }
  std::vector<std::string> out;
  for (uint64_t length : lengths) {
    if (length > static_cast<uint64_t>(end - at)) bad();
    out.emplace_back(at, length);
    at += length;
  }
  return out;
}

Array to_array(const std::string& name, const Values& v, TfType type, const Dims& shape) {
  std::optional<DType> dtype = to_dtype(type);
  if (!dtype) throw Error(ErrorKind::Unsupported, name, "holds a tensor of type " + to_string(type) + ".");
  uint64_t bytes = checked_nbytes(name, shape, item_size(*dtype));
  if (bytes > (uint64_t{1} << 31) && !v.content)
    throw Error(ErrorKind::BadFile, name, "declares a constant of " + std::to_string(bytes) + " bytes.",
                "The file is damaged.");
  if (*dtype == DType::String) {
    checked_nbytes(name, shape, sizeof(std::string));
    size_t count = static_cast<size_t>(num_elements(shape));
    if (count > (size_t{1} << 26))
      throw Error(ErrorKind::BadFile, name, "declares " + std::to_string(count) + " strings.");
    std::vector<std::string> strings = v.content ? split_strings(name, v.content->bytes, count) : v.strings;
    std::string last = strings.empty() ? "" : strings.back();
    strings.resize(count, last);
    return Array::of_strings(shape, std::move(strings));
  }
  if (v.content && !(v.content->bytes.empty() && bytes > 0)) {
    if (v.content->size() != bytes)
      throw Error(ErrorKind::BadFile, name,
                  "its tensor_content has " + std::to_string(v.content->size()) + " bytes, its shape " +
                      to_string(shape) + " wants " + std::to_string(bytes) + ".",
                  "The file is damaged.");
    return Array(*dtype, shape, v.content->owner, v.content->data());
  }
  switch (*dtype) {
    case DType::Float32: return filled<float>(*dtype, shape, v.floats);
    case DType::Float64: return filled<double>(*dtype, shape, v.doubles);
    case DType::Complex64: return filled_complex<float>(*dtype, shape, v.floats);
    case DType::Complex128: return filled_complex<double>(*dtype, shape, v.doubles);
    case DType::Bool: return filled<bool>(*dtype, shape, v.integers);
    default: break;
  }
  switch (item_size(*dtype)) {  // integers, and the bits of float16 and bfloat16
    case 1: return filled<uint8_t>(*dtype, shape, v.integers);
    case 2: return filled<uint16_t>(*dtype, shape, v.integers);
    case 4: return filled<uint32_t>(*dtype, shape, v.integers);
    default: return filled<uint64_t>(*dtype, shape, v.integers);
  }
}

}  // namespace

bool is_ref(TfType type) { return static_cast<int32_t>(type) > kRefOffset; }

TfType without_ref(TfType type) {
  return is_ref(type) ? static_cast<TfType>(static_cast<int32_t>(type) - kRefOffset) : type;
}

std::optional<DType> to_dtype(TfType type) {
  const TypeRow* r = row(without_ref(type));
  return r ? r->dtype : std::nullopt;
}

TfType to_tf_type(DType dtype) {
  for (const TypeRow& r : kTypes)
    if (r.dtype == dtype) return r.type;
  throw Error(ErrorKind::Internal, "", "a dtype without a TensorFlow type.");
}

std::string to_string(TfType type) {
  const TypeRow* r = row(without_ref(type));
  if (!r) return "DataType(" + std::to_string(static_cast<int32_t>(type)) + ")";
  return std::string(r->name) + (is_ref(type) ? "_ref" : "");
}

TfShape parse_shape(const std::string& name, const SharedBytes& message) {
  Dims dims;
  bool unknown = false;
  Wire w(message, name);
  while (w.next()) {
    if (w.field() == 2) {
      Wire dim = w.message();
      int64_t size = 0;
      while (dim.next()) {
        if (dim.field() == 1)
          size = dim.integer();
        else
          dim.skip();
      }
      if (size < -1) throw Error(ErrorKind::BadFile, name, "has a size of " + std::to_string(size) + ".");
      dims.push_back(size);
    } else if (w.field() == 3) {
      unknown = w.boolean();
    } else {
      w.skip();
    }
  }
  if (unknown) return std::nullopt;
  return dims;
}

Array parse_tensor(const std::string& name, const SharedBytes& message) {
  Values v = read_values(name, message);
  if (!v.shape) throw Error(ErrorKind::BadFile, name, "is a tensor without a shape.");
  return to_array(name, v, v.dtype, *v.shape);
}

Array parse_tensor(const std::string& name, const SharedBytes& message, TfType dtype, const Dims& shape) {
  return to_array(name, read_values(name, message), dtype, shape);
}

}  // namespace midstream
