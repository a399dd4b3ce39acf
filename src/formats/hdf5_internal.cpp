#include "formats/hdf5_internal.h"

#include <cstring>

namespace midstream::h5 {
namespace {

std::recursive_mutex& mutex() {
  static std::recursive_mutex m;
  return m;
}

bool is_float_layout(hid_t type, size_t exponent_at, size_t exponent_bits, size_t mantissa_bits, size_t bias) {
  size_t sign = 0, epos = 0, esize = 0, mpos = 0, msize = 0;
  if (H5Tget_fields(type, &sign, &epos, &esize, &mpos, &msize) < 0) return false;
  return sign == exponent_at + exponent_bits && epos == exponent_at && esize == exponent_bits && mpos == 0 &&
         msize == mantissa_bits && H5Tget_ebias(type) == bias;
}

std::optional<DType> float_type(hid_t type, size_t size) {
  if (size == 8 && is_float_layout(type, 52, 11, 52, 1023)) return DType::Float64;
  if (size == 4 && is_float_layout(type, 23, 8, 23, 127)) return DType::Float32;
  if (size == 2 && is_float_layout(type, 10, 5, 10, 15)) return DType::Float16;
  if (size == 2 && is_float_layout(type, 7, 8, 7, 127)) return DType::BFloat16;
  return std::nullopt;
}

std::optional<DType> integer_type(bool is_signed, size_t size) {
  switch (size) {
    case 1: return is_signed ? DType::Int8 : DType::UInt8;
    case 2: return is_signed ? DType::Int16 : DType::UInt16;
    case 4: return is_signed ? DType::Int32 : DType::UInt32;
    case 8: return is_signed ? DType::Int64 : DType::UInt64;
    default: return std::nullopt;
  }
}

bool little_endian(hid_t type, size_t size) { return size == 1 || H5Tget_order(type) == H5T_ORDER_LE; }

std::string member_name(hid_t type, unsigned index) {
  char* text = H5Tget_member_name(type, index);
  std::string name = text ? text : "";
  H5free_memory(text);
  return name;
}

// h5py's bool: an 8-bit enum of FALSE and TRUE.
bool is_bool(hid_t type) {
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
  for (unsigned i = 0; i < 2; ++i) {
    signed char value = -1;
    if (H5Tget_member_value(type, i, &value) < 0 || member_name(type, i) != (value ? "TRUE" : "FALSE")) return false;
  }
  return true;
}

// h5py's complex: a compound of two floats r and i.
ElementType complex_type(hid_t type, size_t size) {
  ElementType out{.size = size};
  if (H5Tget_nmembers(type) != 2 || member_name(type, 0) != "r" || member_name(type, 1) != "i") return out;
  for (unsigned i = 0; i < 2; ++i) {
    Handle part = type_handle(H5Tget_member_type(type, i));
    if (!part.ok() || H5Tget_class(part.id()) != H5T_FLOAT) return out;
    auto dtype = float_type(part.id(), H5Tget_size(part.id()));
    if (size == 8 && dtype == DType::Float32)
      out.dtype = DType::Complex64;
    else if (size == 16 && dtype == DType::Float64)
      out.dtype = DType::Complex128;
    else
      return ElementType{.size = size};
    out.direct = little_endian(part.id(), size) && H5Tget_member_offset(type, i) == i * size / 2;
    if (!out.direct) return out;
  }
  return out;
}

herr_t refuse_external(const char*, const char*, const char*, const char*, unsigned*, hid_t, void*) { return -1; }

herr_t innermost(unsigned, const H5E_error2_t* entry, void* text) {
  if (entry->desc && *entry->desc) *static_cast<std::string*>(text) = entry->desc;
  return 0;
}

}  // namespace

void Lock::renew() { new (&mutex()) std::recursive_mutex; }

Lock::Lock() : guard_(mutex()) {
  static const bool once = [] {
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5PLset_loading_state(0);
    return true;
  }();
  (void)once;
}

void fail(const std::string& where, const std::string& what) {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, innermost, &reason);
  H5Eclear2(H5E_DEFAULT);
  throw Error(ErrorKind::BadFile, where, what + (reason.empty() ? "." : ": " + reason + "."),
              "The file is damaged or was not completely written.");
}

ElementType element_type(hid_t type) {
  ElementType out{.size = H5Tget_size(type)};
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      out.dtype = integer_type(H5Tget_sign(type) == H5T_SGN_2, out.size);
      out.direct = little_endian(type, out.size) && H5Tget_precision(type) == 8 * out.size;
      break;
    case H5T_FLOAT:
      out.dtype = float_type(type, out.size);
      out.direct = little_endian(type, out.size);
      break;
    case H5T_BITFIELD:  // PyTables' booleans
      if (out.size == 1) out.dtype = DType::UInt8;
      out.direct = true;
      break;
    case H5T_ENUM: {
      if (is_bool(type)) {
        out.dtype = DType::Bool;
        out.direct = true;
        break;
      }
      Handle base = type_handle(H5Tget_super(type));
      if (base.ok()) return element_type(base.id());
      break;
    }
    case H5T_STRING:
      out.dtype = DType::String;
      out.variable_string = H5Tis_variable_str(type) > 0;
      out.padding = H5Tget_strpad(type);
      break;
    case H5T_COMPOUND: return complex_type(type, out.size);
    case H5T_OPAQUE: {
      // h5py keeps numpy types that HDF5 lacks as tagged bytes; ml_dtypes' bfloat16 arrives as the void type V2.
      char* tag = H5Tget_tag(type);
      if (tag && out.size == 2 && (!*tag || std::strstr(tag, "bfloat16") || std::strstr(tag, "V2"))) {
        out.dtype = DType::BFloat16;
        out.direct = true;
      }
      H5free_memory(tag);
      break;
    }
    default: break;
  }
  return out;
}

static Handle small_float(size_t exponent_at, size_t exponent_bits, size_t bias) {
  Handle type = type_handle(H5Tcopy(H5T_IEEE_F32LE));
  // The fields must lie within the new precision before it shrinks.
  if (H5Tset_fields(type.id(), 15, exponent_at, exponent_bits, 0, exponent_at) < 0 || H5Tset_size(type.id(), 2) < 0 ||
      H5Tset_ebias(type.id(), bias) < 0)
    throw Error(ErrorKind::Internal, "hdf5", "cannot build a 16-bit float type.");
  return type;
}

static Handle complex_memory(hid_t part, size_t size) {
  Handle type = type_handle(H5Tcreate(H5T_COMPOUND, 2 * size));
  H5Tinsert(type.id(), "r", 0, part);
  H5Tinsert(type.id(), "i", size, part);
  return type;
}

Handle memory_type(DType dtype) {
  switch (dtype) {
    case DType::Bool: {
      Handle type = type_handle(H5Tenum_create(H5T_STD_I8LE));
      signed char no = 0, yes = 1;
      H5Tenum_insert(type.id(), "FALSE", &no);
      H5Tenum_insert(type.id(), "TRUE", &yes);
      return type;
    }
    case DType::UInt8: return type_handle(H5Tcopy(H5T_STD_U8LE));
    case DType::Int8: return type_handle(H5Tcopy(H5T_STD_I8LE));
    case DType::Int16: return type_handle(H5Tcopy(H5T_STD_I16LE));
    case DType::Int32: return type_handle(H5Tcopy(H5T_STD_I32LE));
    case DType::Int64: return type_handle(H5Tcopy(H5T_STD_I64LE));
    case DType::UInt16: return type_handle(H5Tcopy(H5T_STD_U16LE));
    case DType::UInt32: return type_handle(H5Tcopy(H5T_STD_U32LE));
    case DType::UInt64: return type_handle(H5Tcopy(H5T_STD_U64LE));
    case DType::Float16: return small_float(10, 5, 15);
    case DType::BFloat16: return small_float(7, 8, 127);
    case DType::Float32: return type_handle(H5Tcopy(H5T_IEEE_F32LE));
    case DType::Float64: return type_handle(H5Tcopy(H5T_IEEE_F64LE));
    case DType::Complex64: return complex_memory(H5T_IEEE_F32LE, 4);
    case DType::Complex128: return complex_memory(H5T_IEEE_F64LE, 8);
    case DType::String: break;
  }
  throw Error(ErrorKind::Internal, "hdf5", "strings have no fixed element type.");
}

Handle variable_string_type() {
  Handle type = type_handle(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.id(), H5T_VARIABLE);
  H5Tset_cset(type.id(), H5T_CSET_UTF8);
  return type;
}

hid_t link_access() {
  static const hid_t plist = [] {
    hid_t id = H5Pcreate(H5P_LINK_ACCESS);
    H5Pset_elink_cb(id, refuse_external, nullptr);
    return id;
  }();
  return plist;
}

std::string normal_path(const std::string& path) {
  std::string out = "/";
  for (char c : path)
    if (c != '/' || out.back() != '/') out += c;
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

bool object_exists(hid_t file, const std::string& path) {
  if (path == "/") return true;
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    if (H5Lexists(file, path.substr(0, slash).c_str(), link_access()) <= 0) return false;
    if (slash == std::string::npos) break;
  }
  return H5Oexists_by_name(file, path.c_str(), link_access()) > 0;
}

H5O_type_t object_type(hid_t file, const std::string& path, const std::string& where) {
  H5O_info_t info;
  if (H5Oget_info_by_name2(file, path.c_str(), &info, H5O_INFO_BASIC, link_access()) < 0)
    fail(where, "cannot be looked up");
  return info.type;
}

Dims shape_of(hid_t space, const std::string& where) {
  int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0) fail(where, "its shape cannot be read");
  if (H5Sget_simple_extent_type(space) == H5S_NULL) return {0};
  std::vector<hsize_t> sizes(static_cast<size_t>(rank));
  if (rank > 0 && H5Sget_simple_extent_dims(space, sizes.data(), nullptr) < 0) fail(where, "its shape cannot be read");
  Dims shape;
  hsize_t product = 1;
  for (hsize_t size : sizes) {
    if (size > (hsize_t{1} << 48) || (product = product * (size ? size : 1)) > (hsize_t{1} << 48))
      throw Error(ErrorKind::BadFile, where, "its shape has an absurd size, " + std::to_string(size) + ".",
                  "The file is damaged.");
    shape.push_back(static_cast<int64_t>(size));
  }
  return shape;
}

}  // namespace midstream::h5
