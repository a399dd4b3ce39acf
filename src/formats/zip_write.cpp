#include <zlib.h>

#include "base/error.h"
#include "formats/little_endian.h"
#include "formats/zip.h"

namespace midstream {
namespace {

constexpr uint32_t kNo32 = 0xffffffff;
constexpr uint16_t kZip64 = 1, kPadding = 0xd935;  // the id zipalign uses for padding
constexpr size_t kAlignment = 64;

struct Record {  // what the two headers of a member say
  std::string name;
  uint64_t size = 0, header = 0;
  uint32_t crc = 0;
};

uint32_t crc_of(Bytes bytes, uint32_t crc = 0) {
  return static_cast<uint32_t>(crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void append_fixed(std::string& out, uint16_t flags) {
  append<uint16_t>(out, flags);
  append<uint16_t>(out, 0);       // stored
  append<uint16_t>(out, 0);       // 00:00:00
  append<uint16_t>(out, 0x0021);  // 1980-01-01
}

// Bit 11: the name is UTF-8.
uint16_t flags_for(const std::string& name) {
  for (char c : name)
    if (static_cast<unsigned char>(c) >= 0x80) return 0x800;
  return 0;
}

std::string local_header(const Record& r, uint64_t position) {
  bool big = r.size >= kNo32;
  std::string extra;
  if (big) {
    append<uint16_t>(extra, kZip64);
    append<uint16_t>(extra, 16);
    append<uint64_t>(extra, r.size);
    append<uint64_t>(extra, r.size);
  }
  size_t unaligned = (position + 30 + r.name.size() + extra.size()) % kAlignment;
  if (unaligned != 0) {
    size_t padding = kAlignment - unaligned;
    if (padding < 4) padding += kAlignment;  // room for the field's own header
    append<uint16_t>(extra, kPadding);
    append<uint16_t>(extra, static_cast<uint16_t>(padding - 4));
    extra.append(padding - 4, '\0');
  }
  std::string out;
  append<uint32_t>(out, 0x04034b50);
  append<uint16_t>(out, big ? 45 : 20);
  append_fixed(out, flags_for(r.name));
  append<uint32_t>(out, r.crc);
  append<uint32_t>(out, big ? kNo32 : static_cast<uint32_t>(r.size));
  append<uint32_t>(out, big ? kNo32 : static_cast<uint32_t>(r.size));
  append<uint16_t>(out, static_cast<uint16_t>(r.name.size()));
  append<uint16_t>(out, static_cast<uint16_t>(extra.size()));
  return out + r.name + extra;
}

std::string central_header(const Record& r) {
  bool big = r.size >= kNo32, far = r.header >= kNo32;
  std::string extra;
  if (big || far) {
    append<uint16_t>(extra, kZip64);
    append<uint16_t>(extra, static_cast<uint16_t>((big ? 16 : 0) + (far ? 8 : 0)));
    if (big) append<uint64_t>(extra, r.size);
    if (big) append<uint64_t>(extra, r.size);
    if (far) append<uint64_t>(extra, r.header);
  }
  std::string out;
  append<uint32_t>(out, 0x02014b50);
  append<uint16_t>(out, 0x0314);  // made on Unix, so that the mode below counts
  append<uint16_t>(out, big || far ? 45 : 20);
  append_fixed(out, flags_for(r.name));
  append<uint32_t>(out, r.crc);
  append<uint32_t>(out, big ? kNo32 : static_cast<uint32_t>(r.size));
  append<uint32_t>(out, big ? kNo32 : static_cast<uint32_t>(r.size));
  append<uint16_t>(out, static_cast<uint16_t>(r.name.size()));
  append<uint16_t>(out, static_cast<uint16_t>(extra.size()));
  append<uint16_t>(out, 0);
  append<uint16_t>(out, 0);
  append<uint16_t>(out, 0);
  append<uint32_t>(out, 0100644u << 16);
  append<uint32_t>(out, far ? kNo32 : static_cast<uint32_t>(r.header));
  return out + r.name + extra;
}

// The central header of an untouched member, with its new place and CRC. Its zip64 field is written anew if the offset
// is in it; all other extra fields, the dates, the mode and the comment stay.
std::string moved_central(Bytes old, const ZipMember& m, uint64_t header, uint32_t crc) {
  size_t name = load<uint16_t>(&old[28]), extra_size = load<uint16_t>(&old[30]);
  uint32_t stored32 = load<uint32_t>(&old[20]), size32 = load<uint32_t>(&old[24]);
  std::string zip64, others;
  if (size32 == kNo32) append<uint64_t>(zip64, m.size);
  if (stored32 == kNo32) append<uint64_t>(zip64, m.stored_size);
  bool far = header >= kNo32;
  if (far) append<uint64_t>(zip64, header);
  Bytes extra = old.subspan(46 + name, extra_size);
  for (size_t at = 0; at + 4 <= extra.size();) {
    size_t length = std::min<size_t>(4 + load<uint16_t>(&extra[at + 2]), extra.size() - at);
    if (load<uint16_t>(&extra[at]) != kZip64) others += as_text(extra.subspan(at, length));
    at += length;
  }
  std::string fields;
  if (!zip64.empty()) {
    append<uint16_t>(fields, kZip64);
    append<uint16_t>(fields, static_cast<uint16_t>(zip64.size()));
  }
  fields += zip64 + others;

  std::string out(as_text(old.first(46 + name)));
  auto put = [&](size_t at, auto value) { std::memcpy(&out[at], &value, sizeof value); };
  put(16, crc);
  put(30, static_cast<uint16_t>(fields.size()));
  put(42, far ? kNo32 : static_cast<uint32_t>(header));
  if (far) put(6, static_cast<uint16_t>(std::max<uint16_t>(45, load<uint16_t>(&old[6]))));
  return out + fields + std::string(as_text(old.subspan(46 + name + extra_size)));
}

void write_end(FileWriter& out, uint64_t start, uint64_t count, std::string_view comment) {
  uint64_t end = out.position(), size = end - start;
  std::string text;
  bool big = start >= kNo32 || size >= kNo32 || count >= 0xffff;
  if (big) {
    append<uint32_t>(text, 0x06064b50);
    append<uint64_t>(text, 44);
    append<uint16_t>(text, 0x032d);
    append<uint16_t>(text, 45);
    append<uint32_t>(text, 0);
    append<uint32_t>(text, 0);
    append<uint64_t>(text, count);
    append<uint64_t>(text, count);
    append<uint64_t>(text, size);
    append<uint64_t>(text, start);
    append<uint32_t>(text, 0x07064b50);
    append<uint32_t>(text, 0);
    append<uint64_t>(text, end);
    append<uint32_t>(text, 1);
  }
  append<uint32_t>(text, 0x06054b50);
  append<uint32_t>(text, 0);
  append<uint16_t>(text, static_cast<uint16_t>(std::min<uint64_t>(count, 0xffff)));
  append<uint16_t>(text, static_cast<uint16_t>(std::min<uint64_t>(count, 0xffff)));
  append<uint32_t>(text, static_cast<uint32_t>(std::min<uint64_t>(size, kNo32)));
  append<uint32_t>(text, static_cast<uint32_t>(std::min<uint64_t>(start, kNo32)));
  append<uint16_t>(text, static_cast<uint16_t>(comment.size()));
  text += comment;
  out.write(text);
}

// Writes header and contents, returns the central header.
std::string write_member(FileWriter& out, const std::string& name, Bytes contents) {
  if (name.empty() || name.size() > 0xffff)
    throw Error(ErrorKind::Usage, name, "a zip member's name has 1 to 65535 bytes.");
  Record r{name, contents.size(), out.position(), crc_of(contents)};
  out.write(local_header(r, out.position()));
  out.write(contents);
  return central_header(r);
}

// Calls `piece` with the bytes of a member, patches put in.
template <class F>
void for_pieces(Bytes data, const std::map<uint64_t, Bytes>& patches, const F& piece) {
  uint64_t at = 0;
  for (const auto& [offset, bytes] : patches) {
    piece(data.subspan(at, offset - at));
    piece(bytes);
    at = offset + bytes.size();
  }
  piece(data.subspan(at));
}

}  // namespace

void write_zip(const std::string& path, const std::vector<std::pair<std::string, Bytes>>& members) {
  atomic_write(path, [&](FileWriter& out) {
    std::string directory;
    for (const auto& [name, contents] : members) directory += write_member(out, name, contents);
    uint64_t start = out.position();
    out.write(directory);
    write_end(out, start, members.size(), "");
  });
}

const ZipMember& ZipEdit::member(std::string_view name) const {
  const ZipMember* m = source_.find(name);
  if (!m) throw Error(ErrorKind::Usage, source_.name(), "has no member '" + std::string(name) + "' to change.");
  return *m;
}

void ZipEdit::patch(std::string_view name, uint64_t offset, Bytes bytes) {
  const ZipMember& m = member(name);
  std::string where = source_.name() + ": " + m.name;
  if (m.deflated) throw Error(ErrorKind::Usage, where, "is compressed and cannot be patched.", "Replace it.");
  if (offset > m.size || bytes.size() > m.size - offset)
    throw Error(ErrorKind::Usage, where, "a patch reaches beyond its " + std::to_string(m.size) + " bytes.");
  if (bytes.empty()) return;
  auto& patches = changes_[m.name].patches;
  auto next = patches.lower_bound(offset);
  bool overlaps = next != patches.end() && next->first < offset + bytes.size();
  if (next != patches.begin()) {
    auto before = std::prev(next);
    overlaps = overlaps || before->first + before->second.size() > offset;
  }
  if (overlaps) throw Error(ErrorKind::Usage, where, "two patches overlap at " + std::to_string(offset) + ".");
  patches.emplace(offset, bytes);
}

void ZipEdit::replace(std::string_view name, Bytes bytes) {
  if (!source_.contains(name) && changes_.find(name) == changes_.end()) added_.emplace_back(name);
  Change& change = changes_[std::string(name)];
  change.removed = false;
  change.contents = bytes;
}

void ZipEdit::remove(std::string_view name) { changes_[member(name).name].removed = true; }

void ZipEdit::write(const std::string& path, const FileCheck& check) const {
  Bytes file = source_.bytes_.bytes;
  const auto fill = [&](FileWriter& out) {
    std::string directory;
    uint64_t count = 0;
    for (const ZipMember& m : source_.members_) {
      auto found = changes_.find(m.name);
      const Change change = found == changes_.end() ? Change{} : found->second;
      if (change.removed) continue;
      ++count;
      if (change.contents) {
        directory += write_member(out, m.name, *change.contents);
        continue;
      }
      Bytes data = file.subspan(m.offset, m.stored_size);
      uint32_t crc = m.crc;
      if (!change.patches.empty()) {
        crc = 0;
        for_pieces(data, change.patches, [&](Bytes piece) { crc = crc_of(piece, crc); });
      }
      // The local header as it is, except that sizes and CRC are put in and no data descriptor follows: the central
      // directory knows them all by now.
      uint64_t header = out.position();
      std::string local(as_text(file.subspan(m.local_header, m.offset - m.local_header)));
      uint16_t flags = load<uint16_t>(reinterpret_cast<const std::byte*>(&local[6]));
      std::string central = moved_central(file.subspan(m.central_header, m.central_size), m, header, crc);
      auto put = [](std::string& text, size_t at, auto value) { std::memcpy(&text[at], &value, sizeof value); };
      put(local, 14, crc);
      if (flags & 8 && m.size < kNo32 && m.stored_size < kNo32) {
        put(local, 6, static_cast<uint16_t>(flags & ~8));
        put(local, 18, static_cast<uint32_t>(m.stored_size));
        put(local, 22, static_cast<uint32_t>(m.size));
        put(central, 8, static_cast<uint16_t>(flags & ~8));
      }
      out.write(local);
      for_pieces(data, change.patches, [&](Bytes piece) { out.write(piece); });
      if (flags & 8 && (m.size >= kNo32 || m.stored_size >= kNo32)) {
        std::string descriptor;
        append<uint32_t>(descriptor, 0x08074b50);
        append<uint32_t>(descriptor, crc);
        append<uint64_t>(descriptor, m.stored_size);
        append<uint64_t>(descriptor, m.size);
        out.write(descriptor);
      }
      directory += central;
    }
    for (const std::string& name : added_) {
      auto found = changes_.find(name);
      if (found == changes_.end() || found->second.removed) continue;
      directory += write_member(out, name, *found->second.contents);
      ++count;
    }
    uint64_t start = out.position();
    out.write(directory);
    write_end(out, start, count, "");
  };
  atomic_write(path, fill, check);
}

}  // namespace midstream
