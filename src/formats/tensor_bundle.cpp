#include "formats/tensor_bundle.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "base/error.h"
#include "formats/bundle_format.h"
#include "formats/checks.h"
#include "formats/wire.h"

namespace midstream {
namespace {

namespace fs = std::filesystem;

// "x.index" and "x.data-00000-of-00001" mean "x".
std::string prefix_of(const std::string& path) {
  if (path.ends_with(".index")) return path.substr(0, path.size() - 6);
  size_t data = path.rfind(".data-");
  if (data != std::string::npos && path.size() - data == 20) return path.substr(0, data);
  return path;
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The shards of a V1 checkpoint written by a sharded Saver: prefix-00000-of-00002, ...
std::vector<std::string> v1_files(const std::string& prefix) {
  if (is_file(prefix)) return {prefix};
  fs::path folder = fs::path(prefix).parent_path();
  std::string start = fs::path(prefix).filename().string() + "-";
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? fs::path(".") : folder, ignored)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with(start) && name.size() == start.size() + 14 && name.substr(start.size() + 5, 4) == "-of-")
      out.push_back(entry.path().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

int parse_header(const std::string& where, const std::string& header) {
  int shards = 1;
  Wire w(share(header), where);
  while (w.next()) switch (w.field()) {
      case 1: shards = static_cast<int>(w.integer()); break;
      case 2:
        if (w.integer() != 0) throw Error(ErrorKind::Unsupported, where, "was written by a big-endian machine.");
        break;
      default: w.skip();
    }
  if (shards < 1 || shards > 99999)
    throw Error(ErrorKind::BadFile, where, "declares " + std::to_string(shards) + " shards.", "The file is damaged.");
  return shards;
}

// A value of a table lives only while its block does; entries are small, a copy costs nothing.
SharedBytes copy_of(std::string_view value) { return share(std::string(value)); }

void read_v1_meta(const std::string& where, Wire meta, std::map<std::string, BundleEntry, std::less<>>& entries) {
  while (meta.next()) {
    if (meta.field() != 1) {
      meta.skip();
      continue;
    }
    std::string name;
    BundleEntry entry;
    Wire tensor = meta.message();
    while (tensor.next()) switch (tensor.field()) {
        case 1: name = tensor.text(); break;
        case 2: entry.shape = parse_shape(where, tensor.bytes()).value_or(Dims{}); break;
        case 3: entry.dtype = static_cast<TfType>(tensor.integer()); break;
        case 4: entry.slices.push_back(parse_slice(where, tensor.bytes())); break;
        default: tensor.skip();
      }
    checked_nbytes(where + ": " + name, entry.shape, 16);
    auto [at, fresh] = entries.emplace(name, entry);
    if (!fresh) at->second.slices.insert(at->second.slices.end(), entry.slices.begin(), entry.slices.end());
  }
}

// The join of parts must leave no hole; that they do not overlap follows from the count.
void check_complete(const std::string& where, uint64_t got, uint64_t wanted) {
  if (got != wanted)
    throw Error(ErrorKind::BadFile, where,
                "its parts have " + std::to_string(got) + " elements, the whole has " + std::to_string(wanted) + ".",
                "A shard is missing, or the file is damaged.");
}

uint64_t slice_elements(const TensorSlice& slice) {
  uint64_t n = 1;
  for (auto [start, length] : slice) n *= static_cast<uint64_t>(length);
  return n;
}

}  // namespace

bool TensorBundle::exists(const std::string& path) {
  std::string prefix = prefix_of(path);
  if (is_file(index_file(prefix))) return true;
  for (const std::string& file : v1_files(prefix)) {
    SharedBytes bytes = map_file(file);
    constexpr std::string_view kMagic("\x57\xfb\x80\x8b\x24\x75\x47\xdb", 8);
    return bytes.size() >= 48 && bytes.text().substr(bytes.size() - 8) == kMagic;
  }
  return false;
}

TensorBundle TensorBundle::open(const std::string& path) {
  TensorBundle out;
  auto impl = std::make_shared<Impl>();
  impl->prefix = prefix_of(path);
  std::string index = index_file(impl->prefix);
  if (is_file(index)) {
    impl->tables.emplace_back(index, map_file(index));
    impl->tables[0].scan("", [&](std::string_view key, std::string_view value) {
      if (key.empty())
        impl->num_shards = parse_header(index, std::string(value));
      else if (key[0] != '\0')  // else a part of a partitioned tensor
        impl->entries.emplace(key, parse_bundle_entry(impl->where(key), copy_of(value)));
      return true;
    });
    impl->shards.resize(static_cast<size_t>(impl->num_shards));
  } else {
    impl->version = 1;
    std::vector<std::string> files = v1_files(impl->prefix);
    if (files.empty())
      throw Error(ErrorKind::BadFile, path, "is not a checkpoint: there is no '" + index + "' and no such file.",
                  "Give the prefix, without .index or .data-00000-of-00001.");
    impl->num_shards = static_cast<int>(files.size());
    for (const std::string& file : files) {
      impl->tables.emplace_back(file, map_file(file));
      auto meta = impl->tables.back().get("");
      if (!meta)
        throw Error(ErrorKind::BadFile, file, "is a table, but not a checkpoint: its list of tensors is missing.");
      Wire w(share(std::move(*meta)), file);
      while (w.next()) w.field() == 1 ? read_v1_meta(file, w.message(), impl->entries) : w.skip();
    }
  }
  out.impl_ = std::move(impl);
  return out;
}

const std::string& TensorBundle::prefix() const { return impl_->prefix; }
int TensorBundle::version() const { return impl_->version; }
int TensorBundle::num_shards() const { return impl_->num_shards; }
const std::map<std::string, BundleEntry, std::less<>>& TensorBundle::entries() const { return impl_->entries; }

std::vector<std::string> TensorBundle::keys() const {
  std::vector<std::string> out;
  for (const auto& [key, entry] : impl_->entries) out.push_back(key);
  return out;
}

std::string TensorBundle::shard_path(int shard) const {
  return impl_->version == 2 ? shard_file(impl_->prefix, shard, impl_->num_shards) : impl_->prefix;
}

const BundleEntry& TensorBundle::Impl::entry(std::string_view key) const {
  auto found = entries.find(key);
  if (found == entries.end()) throw Error(ErrorKind::BadFile, prefix, "has no tensor '" + std::string(key) + "'.");
  return found->second;
}

SharedBytes TensorBundle::Impl::data(const std::string& where, const BundleEntry& e) const {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (e.shard < 0 || e.shard >= num_shards)
    throw Error(ErrorKind::BadFile, where,
                "is in shard " + std::to_string(e.shard) + " of " + std::to_string(num_shards) + ".");
  auto& shard = shards[static_cast<size_t>(e.shard)];
  if (!shard) {
    std::string file = shard_file(prefix, e.shard, num_shards);
    if (!is_file(file))
      throw Error(ErrorKind::BadFile, where, "its data file '" + file + "' is missing.",
                  "Put it beside the .index file.");
    shard = map_file(file);
  }
  if (e.range.offset > shard->size() || e.range.length > shard->size() - e.range.offset)
    throw Error(ErrorKind::BadFile, where, "its data lie outside of shard " + std::to_string(e.shard) + ".",
                "The shard was not completely written, or is of another checkpoint.");
  return shard->part(e.range.offset, e.range.length);
}

BundleEntry TensorBundle::Impl::slice_entry(std::string_view key, const TensorSlice& slice) const {
  auto value = tables[0].get(slice_key(key, slice));
  if (!value) throw Error(ErrorKind::BadFile, where(key), "a part that its entry names is missing from the index.");
  return parse_bundle_entry(where(key), share(std::move(*value)));
}

Array TensorBundle::Impl::read_whole(const std::string& place, const BundleEntry& e) const {
  auto dtype = to_dtype(e.dtype);
  if (!dtype) throw Error(ErrorKind::Unsupported, place, "is a tensor of type " + to_string(e.dtype) + ".");
  SharedBytes bytes = data(place, e);
  if (*dtype == DType::String)
    return Array::of_strings(e.shape, decode_strings(place, bytes.bytes, static_cast<size_t>(num_elements(e.shape))));
  uint64_t wanted = checked_nbytes(place, e.shape, item_size(*dtype));
  if (bytes.size() != wanted)
    throw Error(ErrorKind::BadFile, place,
                "has " + std::to_string(bytes.size()) + " bytes, its shape " + to_string(e.shape) + " wants " +
                    std::to_string(wanted) + ".",
                "The index is damaged.");
  return Array(*dtype, e.shape, bytes.owner, bytes.data());
}

Array TensorBundle::Impl::read_slices(std::string_view key, const BundleEntry& e) const {
  std::string place = where(key);
  auto dtype = to_dtype(e.dtype);
  if (!dtype || *dtype == DType::String)
    throw Error(ErrorKind::Unsupported, place, "is a partitioned tensor of type " + to_string(e.dtype) + ".");
  // All parts are looked at before the whole is allocated: an entry alone could ask for any amount of memory.
  std::vector<std::pair<TensorSlice, Array>> parts;
  uint64_t got = 0;
  for (const TensorSlice& slice : e.slices) {
    TensorSlice whole = whole_slice(place, slice, e.shape);
    Array part = read_whole(place, slice_entry(key, slice));
    uint64_t elements = slice_elements(whole);
    if (part.dtype() != *dtype || static_cast<uint64_t>(part.size()) != elements)
      check_complete(place, static_cast<uint64_t>(part.size()), elements);
    got += elements;
    parts.emplace_back(std::move(whole), std::move(part));
  }
  check_complete(place, got, static_cast<uint64_t>(num_elements(e.shape)));
  std::byte* bytes = nullptr;
  Array out = Array::allocate(*dtype, e.shape, &bytes);
  for (const auto& [slice, part] : parts) insert_slice(bytes, e.shape, slice, part.bytes(), item_size(*dtype));
  return out;
}

Array TensorBundle::Impl::read_v1(std::string_view key, const BundleEntry& e) const {
  std::string place = where(key);
  auto dtype = to_dtype(e.dtype);
  if (!dtype) throw Error(ErrorKind::Unsupported, place, "is a tensor of type " + to_string(e.dtype) + ".");
  std::string first = slice_key_prefix(key, e.shape.size());
  std::vector<std::pair<TensorSlice, Array>> parts;
  uint64_t got = 0;
  for (const LeveldbTable& table : tables)
    table.scan(first, [&](std::string_view found, std::string_view value) {
      if (!found.starts_with(first)) return false;
      Wire saved(copy_of(value), place);
      while (saved.next()) {
        if (saved.field() != 2) {
          saved.skip();
          continue;
        }
        TensorSlice slice;
        SharedBytes values;
        Wire part = saved.message();
        while (part.next()) switch (part.field()) {
            case 2: slice = whole_slice(place, parse_slice(place, part.bytes()), e.shape); break;
            case 3: values = part.bytes(); break;
            default: part.skip();
          }
        slice = whole_slice(place, slice, e.shape);
        Dims shape;
        for (auto [start, length] : slice) shape.push_back(length);
        parts.emplace_back(slice, parse_tensor(place, values, e.dtype, shape));
        got += slice_elements(slice);
      }
      return true;
    });
  check_complete(place, got, static_cast<uint64_t>(num_elements(e.shape)));
  if (parts.size() == 1) return parts[0].second.reshaped(e.shape);
  if (*dtype == DType::String) throw Error(ErrorKind::Unsupported, place, "is a partitioned tensor of strings.");
  std::byte* bytes = nullptr;
  Array out = Array::allocate(*dtype, e.shape, &bytes);
  for (const auto& [slice, part] : parts) insert_slice(bytes, e.shape, slice, part.bytes(), item_size(*dtype));
  return out;
}

Array TensorBundle::read(std::string_view key) const {
  const BundleEntry& e = impl_->entry(key);
  if (impl_->version == 1) return impl_->read_v1(key, e);
  return e.slices.empty() ? impl_->read_whole(impl_->where(key), e) : impl_->read_slices(key, e);
}

void TensorBundle::verify(std::string_view key) const {
  std::string where = impl_->where(key);
  const BundleEntry& e = impl_->entry(key);
  if (impl_->version == 1) {
    (void)read(key);  // the table's blocks carry the checksums
    return;
  }
  std::vector<BundleEntry> parts;
  for (const TensorSlice& slice : e.slices) parts.push_back(impl_->slice_entry(key, slice));
  if (parts.empty()) parts.push_back(e);
  for (const BundleEntry& part : parts) {
    uint32_t crc = to_dtype(part.dtype) == DType::String ? strings_crc(impl_->read_whole(where, part).strings())
                                                         : masked_crc32c(impl_->data(where, part).bytes);
    if (crc != part.crc)
      throw Error(ErrorKind::BadFile, where,
                  "its checksum is " + std::to_string(crc) + ", the index says " + std::to_string(part.crc) + ".",
                  "The data file is damaged, or is of another checkpoint.");
  }
}

void TensorBundle::verify() const {
  for (const auto& [key, entry] : impl_->entries)
    if (to_dtype(entry.dtype)) verify(key);
}

}  // namespace midstream
