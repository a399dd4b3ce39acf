#include "formats/npz.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "base/utf8.h"
#include "formats/checks.h"
#include "formats/little_endian.h"
#include "formats/npy_header.h"

namespace midstream {
namespace {

// Reverses the bytes of each element; complex numbers are two elements.
void swap_bytes(std::byte* data, size_t count, size_t size) {
  for (size_t i = 0; i < count; ++i) std::reverse(data + i * size, data + (i + 1) * size);
}

// From Fortran to C order, one item of `size` bytes at a time.
void transpose(const std::byte* from, std::byte* to, const Dims& shape, size_t size) {
  size_t rank = shape.size(), count = static_cast<size_t>(num_elements(shape));
  std::array<size_t, kNpyMaxRank> index{}, stride{};
  size_t product = 1;
  for (size_t d = 0; d < rank; ++d) {
    stride[d] = product;
    product *= static_cast<size_t>(shape[d]);
  }
  for (size_t i = 0; i < count; ++i) {
    size_t at = 0;
    for (size_t d = 0; d < rank; ++d) at += index[d] * stride[d];
    std::memcpy(to + i * size, from + at * size, size);
    for (size_t d = rank; d-- > 0;) {
      if (++index[d] < static_cast<size_t>(shape[d])) break;
      index[d] = 0;
    }
  }
}

Array to_strings(const std::string& name, const NpyHeader& h, const std::byte* data) {
  size_t count = static_cast<size_t>(num_elements(h.shape)), width = h.item;
  std::vector<std::string> out(count);
  for (size_t i = 0; i < count; ++i) {
    const std::byte* item = data + i * width;
    if (h.kind == 'S') {
      out[i].assign(reinterpret_cast<const char*>(item), width);
      out[i].resize(out[i].find_last_not_of('\0') + 1);
      continue;
    }
    size_t used = width / 4;
    while (used > 0 && load<uint32_t>(item + 4 * (used - 1)) == 0) --used;
    for (size_t c = 0; c < used; ++c)
      if (!append_utf8(out[i], load<uint32_t>(item + 4 * c)))
        throw Error(ErrorKind::BadFile, name, "holds a character that is not Unicode.", "The file is damaged.");
  }
  return Array::of_strings(h.shape, std::move(out));
}

}  // namespace

Array parse_npy(const std::string& name, const SharedBytes& bytes) {
  NpyHeader h = parse_npy_header(name, bytes.bytes);
  uint64_t size = checked_nbytes(name, h.shape, h.item);
  if (size > bytes.size() - h.data)
    throw Error(ErrorKind::BadFile, name,
                "is cut short: its shape " + to_string(h.shape) + " wants " + std::to_string(size) + " bytes, " +
                    std::to_string(bytes.size() - h.data) + " are there.",
                "The file was not completely written.");
  SharedBytes data = bytes.part(h.data, size);
  bool strings = h.kind == 'S' || h.kind == 'U';
  if (strings && h.item == 0) {
    // '<U0': numpy writes it for arrays of empty strings; nothing in the file bounds their number.
    if (num_elements(h.shape) > (1 << 24)) throw Error(ErrorKind::BadFile, name, "declares too many empty strings.");
    return Array::of_strings(h.shape, std::vector<std::string>(static_cast<size_t>(num_elements(h.shape))));
  }
  if (!h.swapped && !h.fortran)
    return strings ? to_strings(name, h, data.data()) : Array(*h.dtype, h.shape, data.owner, data.data());

  std::vector<std::byte> copy(data.bytes.begin(), data.bytes.end());
  if (h.swapped) swap_bytes(copy.data(), copy.size() / h.swap_unit, h.swap_unit);
  if (h.fortran) {
    std::vector<std::byte> turned(copy.size());
    transpose(copy.data(), turned.data(), h.shape, h.item);
    copy.swap(turned);
  }
  if (strings) return to_strings(name, h, copy.data());
  SharedBytes own = share(std::move(copy));
  return Array(*h.dtype, h.shape, own.owner, own.data());
}

Array read_npy(const std::string& path) { return parse_npy(path, map_file(path)); }

std::vector<std::byte> to_npy(const Array& array) {
  std::string payload;
  size_t width = 1;
  bool strings = array.dtype() == DType::String, unicode = true;
  if (strings) {
    // '<U' if all of them are UTF-8, else '|S': bytes stay what they are.
    std::u32string wide;
    for (const std::string& text : array.strings()) unicode = unicode && decode_utf8(text, wide);
    for (const std::string& text : array.strings()) {
      wide.clear();
      if (unicode) decode_utf8(text, wide);
      width = std::max(width, unicode ? wide.size() : text.size());
    }
    for (const std::string& text : array.strings()) {
      size_t end = payload.size() + width * (unicode ? 4 : 1);
      wide.clear();
      if (unicode && decode_utf8(text, wide))
        for (char32_t c : wide) append<uint32_t>(payload, c);
      else
        payload += text;
      payload.resize(end, '\0');
    }
  }
  std::string header = npy_header(array.dtype(), array.shape(), width, unicode);
  Bytes body = strings ? as_bytes(payload) : Bytes(array.bytes(), array.nbytes());
  std::vector<std::byte> out(header.size() + body.size());
  std::memcpy(out.data(), header.data(), header.size());
  if (!body.empty()) std::memcpy(out.data() + header.size(), body.data(), body.size());
  return out;
}

void write_npy(const std::string& path, const Array& array) { atomic_write(path, Bytes(to_npy(array))); }

NpzFile NpzFile::open(const std::string& path) { return NpzFile(ZipFile::open(path)); }
NpzFile::NpzFile(std::string name, SharedBytes bytes) : NpzFile(ZipFile(std::move(name), std::move(bytes))) {}

NpzFile::NpzFile(ZipFile zip) : zip_(std::move(zip)) {
  for (const ZipMember& m : zip_.members())
    if (m.name.ends_with(".npy")) names_.push_back(m.name.substr(0, m.name.size() - 4));
}

bool NpzFile::contains(std::string_view name) const { return zip_.contains(std::string(name) + ".npy"); }

Array NpzFile::read(std::string_view name) const {
  std::string member = std::string(name) + ".npy";
  return parse_npy(zip_.name() + ": " + member, zip_.read(member));
}

void write_npz(const std::string& path, const NamedArrays& arrays) {
  std::vector<std::vector<std::byte>> buffers;
  std::vector<std::pair<std::string, Bytes>> members;
  for (const auto& [name, array] : arrays) buffers.push_back(to_npy(array));
  for (size_t i = 0; i < arrays.size(); ++i) members.emplace_back(arrays[i].first + ".npy", buffers[i]);
  write_zip(path, members);
}

}  // namespace midstream
