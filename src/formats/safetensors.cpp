#include "formats/safetensors.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/checks.h"
#include "formats/little_endian.h"

namespace midstream {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostHeader = 100'000'000;  // the library's own limit

struct Name {
  DType dtype;
  const char* name;
};
constexpr Name kNames[] = {
    {DType::Bool, "BOOL"},  {DType::UInt8, "U8"},      {DType::Int8, "I8"},       {DType::Int16, "I16"},
    {DType::UInt16, "U16"}, {DType::Float16, "F16"},   {DType::BFloat16, "BF16"}, {DType::Int32, "I32"},
    {DType::UInt32, "U32"}, {DType::Float32, "F32"},   {DType::Float64, "F64"},   {DType::Int64, "I64"},
    {DType::UInt64, "U64"}, {DType::Complex64, "C64"},
};

[[noreturn]] void bad(const std::string& where, const std::string& what) {
  throw Error(ErrorKind::BadFile, where, what + ".", "The file is damaged or is not a safetensors file.");
}

DType dtype_named(const std::string& where, const std::string& name) {
  for (const Name& n : kNames)
    if (name == n.name) return n.dtype;
  throw Error(ErrorKind::Unsupported, where, "has the element type '" + name + "', which is not supported.");
}

const char* name_of(const std::string& tensor, DType dtype) {
  for (const Name& n : kNames)
    if (dtype == n.dtype) return n.name;
  throw Error(ErrorKind::Unsupported, tensor,
              "is an array of " + std::string(to_string(dtype)) + ", which safetensors cannot hold.");
}

uint64_t unsigned_number(const std::string& where, const Json& value) {
  if (!value.is_number_unsigned()) bad(where, "a number of its header is " + value.dump().substr(0, 40));
  return value.get<uint64_t>();
}

SafetensorsFile::Entry read_entry(const std::string& where, const Json& value, uint64_t data, uint64_t available) {
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") ||
      !value["shape"].is_array() || !value.contains("data_offsets") || !value["data_offsets"].is_array() ||
      value["data_offsets"].size() != 2)
    bad(where, "its header entry is broken");
  SafetensorsFile::Entry entry{dtype_named(where, value["dtype"].get<std::string>()), {}, {}};
  for (const Json& size : value["shape"]) {
    uint64_t n = unsigned_number(where, size);
    if (n > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) bad(where, "its shape is impossible");
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  uint64_t begin = unsigned_number(where, value["data_offsets"][0]),
           end = unsigned_number(where, value["data_offsets"][1]);
  if (begin > end || end > available) bad(where, "its data lie outside of the file");
  uint64_t wanted = checked_nbytes(where, entry.shape, item_size(entry.dtype));
  if (end - begin != wanted)
    bad(where, "has " + std::to_string(end - begin) + " bytes, its shape " + to_string(entry.shape) + " wants " +
                   std::to_string(wanted));
  entry.range = {data + begin, end - begin};
  return entry;
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) { return SafetensorsFile(path, map_file(path)); }

SafetensorsFile::SafetensorsFile(std::string name, SharedBytes bytes)
    : name_(std::move(name)), bytes_(std::move(bytes)) {
  if (bytes_.size() < 8) bad(name_, "has " + std::to_string(bytes_.size()) + " bytes, its header alone wants 8");
  uint64_t length = load<uint64_t>(bytes_.data());
  if (length > kMostHeader || length > bytes_.size() - 8)
    bad(name_, "its header would have " + std::to_string(length) + " bytes");
  Json header = Json::parse(bytes_.text().substr(8, length), nullptr, false);
  if (!header.is_object()) bad(name_, "its header is not a JSON object");
  for (const auto& [key, value] : header.items()) {
    if (key == "__metadata__") {
      if (!value.is_object()) bad(name_, "its metadata are not a JSON object");
      for (const auto& [k, text] : value.items())
        metadata_[k] = text.is_string() ? text.get<std::string>() : text.dump();
      continue;
    }
    entries_.emplace(key, read_entry(name_ + ": " + key, value, 8 + length, bytes_.size() - 8 - length));
  }
}

Array SafetensorsFile::read(std::string_view tensor) const {
  auto found = entries_.find(tensor);
  if (found == entries_.end()) throw Error(ErrorKind::BadFile, name_, "has no tensor '" + std::string(tensor) + "'.");
  const Entry& e = found->second;
  return Array(e.dtype, e.shape, bytes_.owner, bytes_.data() + e.range.offset);
}

void write_safetensors(const std::string& path, const NamedArrays& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const NamedArrays::value_type*> order;
  for (const auto& tensor : tensors) {
    name_of(tensor.first, tensor.second.dtype());
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) {
    size_t x = item_size(a->second.dtype()), y = item_size(b->second.dtype());
    return x != y ? x > y : a->first < b->first;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t at = 0;
  for (const auto* tensor : order) {
    if (header.contains(tensor->first))
      throw Error(ErrorKind::Usage, path, "two tensors are called '" + tensor->first + "'.");
    uint64_t size = tensor->second.nbytes();
    header[tensor->first] = {{"dtype", name_of(tensor->first, tensor->second.dtype())},
                             {"shape", tensor->second.shape()},
                             {"data_offsets", {at, at + size}}};
    at += size;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data are aligned
  std::string prefix;
  append<uint64_t>(prefix, text.size());
  atomic_write(path, [&](FileWriter& out) {
    out.write(prefix + text);
    for (const auto* tensor : order) out.write(Bytes(tensor->second.bytes(), tensor->second.nbytes()));
  });
}

}  // namespace midstream
