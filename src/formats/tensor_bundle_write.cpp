// Writing V2 checkpoints: new ones, and copies with other values. See tensor_bundle.h.
#include <algorithm>

#include "base/error.h"
#include "formats/bundle_format.h"

namespace midstream {
namespace {

struct Piece {  // new bytes for a place in a shard
  uint64_t offset;
  std::vector<std::byte> owned;
  Bytes bytes;
};

void write_shard(const std::string& path, Bytes old, std::vector<Piece>& pieces) {
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
  atomic_write(path, [&](FileWriter& out) {
    uint64_t at = 0;
    for (const Piece& p : pieces) {
      if (p.offset < at)
        throw Error(ErrorKind::BadFile, path, "two tensors lie over each other.", "The index is damaged.");
      if (at < old.size()) out.write(old.subspan(at, std::min<uint64_t>(p.offset, old.size()) - at));
      out.write(p.bytes);
      at = p.offset + p.bytes.size();
    }
    if (at < old.size()) out.write(old.subspan(at));
  });
}

}  // namespace

void write_bundle(const std::string& prefix, const NamedArrays& tensors) {
  std::map<std::string, const Array*> sorted;
  for (const auto& [name, array] : tensors) {
    if (name.empty() || name[0] == '\0') throw Error(ErrorKind::Usage, prefix, "a tensor needs a name.");
    if (!sorted.emplace(name, &array).second)
      throw Error(ErrorKind::Usage, prefix, "two tensors are called '" + name + "'.");
  }
  std::map<std::string, std::string> index;
  index[""] = bundle_header(1);
  atomic_write(shard_file(prefix, 0, 1), [&](FileWriter& out) {
    for (const auto& [name, array] : sorted) {
      BundleEntry entry{.dtype = to_tf_type(array->dtype()), .shape = array->shape()};
      entry.range.offset = out.position();
      if (array->dtype() == DType::String) {
        out.write(encode_strings(array->strings()));
        entry.crc = strings_crc(array->strings());
      } else {
        Bytes bytes(array->bytes(), array->nbytes());
        out.write(bytes);
        entry.crc = masked_crc32c(bytes);
      }
      entry.range.length = out.position() - entry.range.offset;
      index[name] = serialize(entry);
    }
  });
  std::string table = build_leveldb_table(index);
  atomic_write(index_file(prefix), as_bytes(table));
}

void BundleEdit::set(std::string_view key, const Array& value) {
  const auto& impl = *source_.impl_;
  if (impl.version != 2)
    throw Error(ErrorKind::Unsupported, impl.prefix, "is a V1 checkpoint, which is only read.",
                "Write a new V2 checkpoint.");
  const BundleEntry& e = impl.entry(key);
  if (to_dtype(e.dtype) != value.dtype() || e.shape != value.shape())
    throw Error(ErrorKind::Mismatch, impl.where(key),
                "is " + to_string(e.dtype) + " " + to_string(e.shape) + ", the new value is " +
                    std::string(to_string(value.dtype())) + " " + to_string(value.shape()) + ".");
  values_.insert_or_assign(std::string(key), value);
}

void BundleEdit::write(const std::string& prefix) const {
  const auto& impl = *source_.impl_;
  std::map<std::string, std::string> index;
  impl.tables.at(0).scan("", [&](std::string_view key, std::string_view value) {
    index.emplace(key, value);
    return true;
  });
  std::vector<SharedBytes> shards;
  std::vector<uint64_t> ends;
  std::vector<std::vector<Piece>> pieces(static_cast<size_t>(impl.num_shards));
  for (int i = 0; i < impl.num_shards; ++i) {
    shards.push_back(map_file(source_.shard_path(i)));
    ends.push_back(shards.back().size());
  }
  auto put = [&](const std::string& index_key, BundleEntry e, Piece piece, uint32_t crc) {
    (void)impl.data(impl.prefix + ": " + index_key, e);  // checks the place
    auto shard = static_cast<size_t>(e.shard);
    e.crc = crc;
    if (piece.bytes.size() != e.range.length) {  // strings of another length: behind everything else
      e.range = {ends[shard], piece.bytes.size()};
      ends[shard] += piece.bytes.size();
    }
    piece.offset = e.range.offset;
    pieces[shard].push_back(std::move(piece));
    index[index_key] = serialize(e);
  };

  for (const auto& [key, value] : values_) {
    const BundleEntry& e = impl.entry(key);
    if (value.dtype() == DType::String) {
      std::string text = encode_strings(value.strings());
      Piece piece{0, {as_bytes(text).begin(), as_bytes(text).end()}, {}};
      piece.bytes = piece.owned;
      put(key, e, std::move(piece), strings_crc(value.strings()));
    } else if (e.slices.empty()) {
      Bytes bytes(value.bytes(), value.nbytes());
      if (bytes.size() != e.range.length)
        throw Error(ErrorKind::BadFile, impl.where(key), "its size does not fit its shape.");
      put(key, e, {0, {}, bytes}, masked_crc32c(bytes));
    } else {
      for (const TensorSlice& slice : e.slices) {
        TensorSlice whole = whole_slice(impl.where(key), slice, e.shape);
        BundleEntry part = impl.slice_entry(key, slice);
        size_t item = item_size(value.dtype()), count = 1;
        for (auto [start, length] : whole) count *= static_cast<size_t>(length);
        if (count * item != part.range.length)
          throw Error(ErrorKind::BadFile, impl.where(key), "a part's size is wrong.");
        Piece piece{0, std::vector<std::byte>(count * item), {}};
        extract_slice(value.bytes(), e.shape, whole, piece.owned.data(), item);
        piece.bytes = piece.owned;
        uint32_t crc = masked_crc32c(piece.bytes);
        put(slice_key(key, slice), part, std::move(piece), crc);
      }
    }
  }
  // The index last: until it is in place, a reader of `prefix` sees the old index with its old checksums.
  for (int i = 0; i < impl.num_shards; ++i)
    write_shard(shard_file(prefix, i, impl.num_shards), shards[static_cast<size_t>(i)].bytes,
                pieces[static_cast<size_t>(i)]);
  std::string table = build_leveldb_table(index);
  atomic_write(index_file(prefix), as_bytes(table));
}

}  // namespace midstream
