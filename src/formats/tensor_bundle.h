// TensorFlow checkpoints: V2 bundles (`prefix.index` + `prefix.data-00000-of-00001`, ...) and V1 files (one table of
// SavedTensorSlices). Opening reads the index alone; shards are mapped when first needed and arrays point into them.
// Partitioned variables (slices) are joined into one array. CRCs are checked when asked (`verify`).
// Throws Error(BadFile, "<file>: <key>", ...).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/array.h"
#include "formats/graphdef.h"
#include "formats/mapped_file.h"
#include "formats/npz.h"

namespace midstream {

// A part of a partitioned tensor: one (start, length) per dimension; length kUnknown is the whole dimension.
using TensorSlice = std::vector<std::pair<int64_t, int64_t>>;

struct BundleEntry {
  TfType dtype = TfType::Invalid;
  Dims shape;
  int shard = 0;
  ByteRange range;   // in the shard (V2)
  uint32_t crc = 0;  // masked crc32c of the bytes (V2)
  std::vector<TensorSlice> slices;
};

class TensorBundle {
 public:
  // A checkpoint prefix ("dir/variables/variables", "model.ckpt-1000"), its .index file, or a V1 file.
  static TensorBundle open(const std::string& prefix);
  // Whether `prefix` names a checkpoint of either version.
  static bool exists(const std::string& prefix);

  const std::string& prefix() const;
  int version() const;  // 1 or 2
  int num_shards() const;
  // Sorted by key. Parts of partitioned tensors are not listed.
  const std::map<std::string, BundleEntry, std::less<>>& entries() const;
  bool contains(std::string_view key) const { return entries().find(key) != entries().end(); }
  std::vector<std::string> keys() const;

  Array read(std::string_view key) const;
  // Compares the checksum of a tensor, or of all.
  void verify(std::string_view key) const;
  void verify() const;
  std::string shard_path(int shard) const;

 private:
  friend class BundleEdit;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// A new V2 bundle of one shard, as TensorFlow's BundleWriter lays it out.
void write_bundle(const std::string& prefix, const NamedArrays& tensors);

// A copy of a V2 bundle in which some tensors have other values of equal dtype and shape. The object graph and all
// other bytes stay. `prefix` may be the source's own prefix.
class BundleEdit {
 public:
  explicit BundleEdit(const TensorBundle& source) : source_(source) {}
  // Throws Error(Mismatch) if dtype or shape differ; String tensors may change their length.
  void set(std::string_view key, const Array& value);
  void write(const std::string& prefix) const;

 private:
  TensorBundle source_;
  std::map<std::string, Array, std::less<>> values_;
};

// CRC-32C (Castagnoli), plain and masked as leveldb and TensorFlow store it.
uint32_t crc32c(Bytes bytes, uint32_t crc = 0);
uint32_t masked_crc32c(Bytes bytes);

}  // namespace midstream
