#include "formats/bundle_format.h"

#include <cstring>
#include <protozero/pbf_writer.hpp>

#include "base/error.h"
#include "formats/checks.h"
#include "formats/little_endian.h"
#include "formats/wire.h"

namespace midstream {
namespace {

std::string five_digits(int n) {
  std::string digits = std::to_string(n);
  return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

// OrderedCode::WriteNumIncreasing
void write_number(std::string& out, uint64_t n) {
  std::string digits;
  for (; n; n >>= 8) digits.insert(digits.begin(), static_cast<char>(n & 255));
  out += static_cast<char>(digits.size());
  out += digits;
}

// OrderedCode::WriteSignedNumIncreasing: the first bits say how long the number is.
void write_signed(std::string& out, int64_t n) {
  uint64_t magnitude = n < 0 ? ~static_cast<uint64_t>(n) : static_cast<uint64_t>(n);
  int bits = 0;
  while (magnitude >> bits) {
    if (++bits == 64) break;
  }
  size_t length = 1 + static_cast<size_t>(bits) / 7;
  unsigned char buffer[10];
  buffer[0] = buffer[1] = n < 0 ? 0xff : 0;
  for (int i = 0; i < 8; ++i) buffer[2 + i] = static_cast<unsigned char>(static_cast<uint64_t>(n) >> (56 - 8 * i));
  unsigned char* begin = buffer + sizeof buffer - length;
  uint16_t header = static_cast<uint16_t>(0xffff << (16 - length));
  begin[0] ^= static_cast<unsigned char>(header >> 8);
  if (length > 1) begin[1] ^= static_cast<unsigned char>(header & 255);
  out.append(reinterpret_cast<char*>(begin), length);
}

template <class Move>
void for_rows(const Dims& shape, const TensorSlice& slice, size_t item, const Move& move) {
  size_t rank = shape.size();
  size_t row = item * (rank ? static_cast<size_t>(slice[rank - 1].second) : 1);
  std::vector<int64_t> index(rank, 0);
  size_t count = 1;
  for (size_t d = 0; d + 1 < rank; ++d) count *= static_cast<size_t>(slice[d].second);
  if (row == 0) return;
  for (size_t i = 0; i < count; ++i) {
    size_t at = 0;
    for (size_t d = 0; d < rank; ++d)
      at = at * static_cast<size_t>(shape[d]) + static_cast<size_t>(slice[d].first + index[d]);
    move(at * item, i * row, row);
    for (size_t d = rank > 1 ? rank - 1 : 0; d-- > 0;) {
      if (++index[d] < slice[d].second) break;
      index[d] = 0;
    }
  }
}

}  // namespace

std::string shard_file(const std::string& prefix, int shard, int count) {
  return prefix + ".data-" + five_digits(shard) + "-of-" + five_digits(count);
}
std::string index_file(const std::string& prefix) { return prefix + ".index"; }

TensorSlice parse_slice(const std::string& where, const SharedBytes& message) {
  TensorSlice out;
  Wire w(message, where);
  while (w.next()) {
    if (w.field() != 1) {
      w.skip();
      continue;
    }
    std::pair<int64_t, int64_t> extent{0, kUnknown};
    Wire e = w.message();
    while (e.next()) switch (e.field()) {
        case 1: extent.first = e.integer(); break;
        case 2: extent.second = e.integer(); break;
        default: e.skip();
      }
    out.push_back(extent);
  }
  return out;
}

BundleEntry parse_bundle_entry(const std::string& where, const SharedBytes& message) {
  BundleEntry out;
  Wire w(message, where);
  while (w.next()) switch (w.field()) {
      case 1: out.dtype = static_cast<TfType>(w.integer()); break;
      case 2: {
        TfShape shape = parse_shape(where, w.bytes());
        if (!shape) throw Error(ErrorKind::BadFile, where, "has no shape.");
        out.shape = *shape;
        break;
      }
      case 3: out.shard = static_cast<int>(w.integer()); break;
      case 4: out.range.offset = static_cast<uint64_t>(w.integer()); break;
      case 5: out.range.length = static_cast<uint64_t>(w.integer()); break;
      case 6: out.crc = w.fixed32(); break;
      case 7: out.slices.push_back(parse_slice(where, w.bytes())); break;
      default: w.skip();
    }
  checked_nbytes(where, out.shape, 16);
  return out;
}

// Submessages are built apart: protozero's nested writers leave empty ones out, and here an empty one is a size of 0.
static std::string serialize_shape(const Dims& shape) {
  std::string out;
  for (int64_t size : shape) {
    std::string dim;
    if (size) protozero::pbf_writer(dim).add_int64(1, size);
    protozero::pbf_writer(out).add_message(2, dim);
  }
  return out;
}

static std::string serialize_slice(const TensorSlice& slice) {
  std::string out;
  for (auto [start, length] : slice) {
    std::string extent;
    protozero::pbf_writer w(extent);
    if (start) w.add_int64(1, start);
    if (length != kUnknown) w.add_int64(2, length);
    protozero::pbf_writer(out).add_message(1, extent);
  }
  return out;
}

std::string serialize(const BundleEntry& entry) {
  std::string out;
  protozero::pbf_writer w(out);
  w.add_enum(1, static_cast<int32_t>(entry.dtype));
  w.add_message(2, serialize_shape(entry.shape));
  if (entry.shard) w.add_int32(3, entry.shard);
  if (entry.range.offset) w.add_int64(4, static_cast<int64_t>(entry.range.offset));
  if (entry.range.length) w.add_int64(5, static_cast<int64_t>(entry.range.length));
  if (entry.crc) w.add_fixed32(6, entry.crc);
  for (const TensorSlice& slice : entry.slices) w.add_message(7, serialize_slice(slice));
  return out;
}

std::string bundle_header(int num_shards) {
  std::string out;
  protozero::pbf_writer w(out);
  w.add_int32(1, num_shards);
  protozero::pbf_writer version(w, 3);
  version.add_int32(1, 1);  // kTensorBundleVersion
  return out;
}

std::string slice_key_prefix(std::string_view tensor, size_t rank) {
  std::string out;
  write_number(out, 0);
  for (char c : tensor) {  // OrderedCode::WriteString
    out += c;
    if (c == '\0') out += '\xff';
    if (c == '\xff') out += '\0';
  }
  out += std::string_view("\0\1", 2);
  write_number(out, rank);
  return out;
}

std::string slice_key(std::string_view tensor, const TensorSlice& slice) {
  std::string out = slice_key_prefix(tensor, slice.size());
  for (auto [start, length] : slice) {
    write_signed(out, start);
    write_signed(out, length);
  }
  return out;
}

TensorSlice whole_slice(const std::string& where, const TensorSlice& slice, const Dims& shape) {
  auto bad = [&] {
    throw Error(ErrorKind::BadFile, where, "has a part that does not fit its shape " + to_string(shape) + ".");
  };
  TensorSlice out = slice;
  if (out.empty()) out.assign(shape.size(), {0, kUnknown});
  if (out.size() != shape.size()) bad();
  for (size_t d = 0; d < out.size(); ++d) {
    auto& [start, length] = out[d];
    if (length == kUnknown) length = shape[d];
    if (start < 0 || length < 0 || start > shape[d] || length > shape[d] - start) bad();
  }
  return out;
}

void insert_slice(std::byte* tensor, const Dims& shape, const TensorSlice& slice, const std::byte* part, size_t item) {
  for_rows(shape, slice, item, [&](size_t at, size_t from, size_t n) { std::memcpy(tensor + at, part + from, n); });
}
void extract_slice(const std::byte* tensor, const Dims& shape, const TensorSlice& slice, std::byte* part, size_t item) {
  for_rows(shape, slice, item, [&](size_t at, size_t to, size_t n) { std::memcpy(part + to, tensor + at, n); });
}

std::vector<std::string> decode_strings(const std::string& where, Bytes bytes, size_t count) {
  const char *begin = reinterpret_cast<const char*>(bytes.data()), *at = begin, *end = begin + bytes.size();
  auto bad = [&]() -> void {
    throw Error(ErrorKind::BadFile, where, "its string data are broken.", "The file is damaged.");
  };
  if (count > bytes.size()) bad();
  std::vector<uint64_t> lengths(count);
  for (uint64_t& length : lengths) try {
      length = protozero::decode_varint(&at, end);
    } catch (const protozero::exception&) {
      bad();
    }
  if (end - at < 4) bad();
  at += 4;  // the checksum of the lengths; `verify` covers it
  std::vector<std::string> out;
  for (uint64_t length : lengths) {
    if (length > static_cast<uint64_t>(end - at)) bad();
    out.emplace_back(at, length);
    at += length;
  }
  if (at != end) bad();
  return out;
}

static uint32_t lengths_crc(const std::vector<std::string>& strings) {
  std::string fixed;  // 4 bytes each, 8 where that is too few
  for (const std::string& s : strings) {
    if (s.size() <= 0xffffffff)
      append<uint32_t>(fixed, static_cast<uint32_t>(s.size()));
    else
      append<uint64_t>(fixed, s.size());
  }
  return crc32c(as_bytes(fixed));
}

std::string encode_strings(const std::vector<std::string>& strings) {
  std::string out;
  for (const std::string& s : strings) protozero::add_varint_to_buffer(&out, s.size());
  append<uint32_t>(out, mask_crc32c(lengths_crc(strings)));
  for (const std::string& s : strings) out += s;
  return out;
}

uint32_t strings_crc(const std::vector<std::string>& strings) {
  uint32_t crc = lengths_crc(strings);
  std::string checksum;
  append<uint32_t>(checksum, mask_crc32c(crc));
  crc = crc32c(as_bytes(checksum), crc);
  for (const std::string& s : strings) crc = crc32c(as_bytes(s), crc);
  return mask_crc32c(crc);
}

}  // namespace midstream
