// The bytes inside a checkpoint, for its readers and writers. Internal to tensor_bundle*.cpp.
#pragma once

#include <memory>
#include <string>

#include "formats/leveldb_table.h"
#include "formats/tensor_bundle.h"

namespace midstream {

uint32_t mask_crc32c(uint32_t crc);

// "prefix.data-00000-of-00001"
std::string shard_file(const std::string& prefix, int shard, int count);
std::string index_file(const std::string& prefix);

BundleEntry parse_bundle_entry(const std::string& where, const SharedBytes& message);
std::string serialize(const BundleEntry& entry);
std::string bundle_header(int num_shards);
TensorSlice parse_slice(const std::string& where, const SharedBytes& message);

// TensorFlow's EncodeTensorNameSlice: the key of a part of a partitioned tensor.
std::string slice_key(std::string_view tensor, const TensorSlice& slice);
// What all slice keys of a tensor begin with.
std::string slice_key_prefix(std::string_view tensor, size_t rank);

// A slice with kUnknown lengths replaced by the tensor's, checked against its shape.
TensorSlice whole_slice(const std::string& where, const TensorSlice& slice, const Dims& shape);
// Copies between a tensor and one of its slices.
void insert_slice(std::byte* tensor, const Dims& shape, const TensorSlice& slice, const std::byte* part, size_t item);
void extract_slice(const std::byte* tensor, const Dims& shape, const TensorSlice& slice, std::byte* part, size_t item);

// String tensors: varint lengths, a checksum of them, the bytes.
std::vector<std::string> decode_strings(const std::string& where, Bytes bytes, size_t count);
std::string encode_strings(const std::vector<std::string>& strings);
// The checksum (masked) that goes with the encoded form: it is over the lengths as fixed numbers.
uint32_t strings_crc(const std::vector<std::string>& strings);

struct TensorBundle::Impl {
  std::string prefix;
  int version = 2, num_shards = 1;
  std::vector<LeveldbTable> tables;  // V2: the index; V1: one per shard
  std::map<std::string, BundleEntry, std::less<>> entries;
  mutable std::vector<std::optional<SharedBytes>> shards;  // mapped when first needed

  std::string where(std::string_view key) const { return prefix + ": " + std::string(key); }
  const BundleEntry& entry(std::string_view key) const;
  SharedBytes data(const std::string& where, const BundleEntry& entry) const;
  // The entry of one slice of a partitioned tensor (V2).
  BundleEntry slice_entry(std::string_view key, const TensorSlice& slice) const;
  Array read_whole(const std::string& where, const BundleEntry& entry) const;
  Array read_slices(std::string_view key, const BundleEntry& entry) const;
  Array read_v1(std::string_view key, const BundleEntry& entry) const;
};

}  // namespace midstream
