#include "formats/zip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "formats/little_endian.h"

namespace midstream {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator64 = 0x07064b50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr uint32_t kNo32 = 0xffffffff;

[[noreturn]] void bad(const std::string& where, std::string message) {
  throw Error(ErrorKind::BadFile, where, std::move(message),
              "The file is damaged or was not completely written; get it again from its source.");
}

// Where the end record starts: the last place whose comment length reaches exactly to the end of the file.
size_t find_end(const std::string& name, Bytes file) {
  if (file.size() < kEndSize) bad(name, "is not a zip archive: it has " + std::to_string(file.size()) + " bytes.");
  size_t lowest = file.size() - kEndSize - std::min<size_t>(file.size() - kEndSize, 0xffff);
  for (size_t at = file.size() - kEndSize;; --at) {
    if (load<uint32_t>(&file[at]) == kEnd && at + kEndSize + load<uint16_t>(&file[at + 20]) == file.size()) return at;
    if (at == lowest) break;
  }
  bad(name, "is not a complete zip archive: it has no end record.");
}

// Reads the fields that overflowed their 32 bits out of the zip64 extra field, in the order the format gives them.
void read_zip64(const std::string& where, Bytes extra, ZipMember& m, uint64_t* header) {
  bool size = m.size == kNo32, stored = m.stored_size == kNo32, offset = header && *header == kNo32;
  if (!size && !stored && !offset) return;
  for (size_t at = 0; at + 4 <= extra.size();) {
    size_t length = load<uint16_t>(&extra[at + 2]);
    Bytes field = extra.subspan(at + 4, std::min(length, extra.size() - at - 4));
    if (load<uint16_t>(&extra[at]) == 1) {
      auto take = [&](uint64_t& value) {
        if (field.size() < 8) bad(where, "its zip64 field is too short.");
        value = load<uint64_t>(field.data());
        field = field.subspan(8);
      };
      if (size) take(m.size);
      if (stored) take(m.stored_size);
      if (offset) take(*header);
      return;
    }
    at += 4 + length;
  }
  // Sizes of exactly 2^32-1 without a zip64 field are legal, and then they are what they say.
}

SharedBytes inflate_member(const std::string& where, Bytes data, const ZipMember& m) {
  // Deflate cannot expand by more than 1032:1; anything beyond is a lie about the size, and memory we should not ask
  // for.
  if (m.size / 1032 > m.stored_size + 1)
    bad(where,
        "declares " + std::to_string(m.size) + " bytes from " + std::to_string(m.stored_size) + " compressed ones.");
  std::vector<std::byte> out(m.size);
  z_stream z{};
  if (inflateInit2(&z, -MAX_WBITS) != Z_OK) throw Error(ErrorKind::Internal, where, "zlib does not start.");
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  constexpr size_t kMost = std::numeric_limits<uInt>::max();
  size_t in_done = 0, out_done = 0;
  Bytef nothing = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    size_t in = std::min(data.size() - in_done, kMost), room = std::min(out.size() - out_done, kMost);
    z.next_in = in ? const_cast<Bytef*>(reinterpret_cast<const Bytef*>(data.data() + in_done)) : &nothing;
    z.avail_in = static_cast<uInt>(in);
    z.next_out = room ? reinterpret_cast<Bytef*>(out.data() + out_done) : &nothing;
    z.avail_out = static_cast<uInt>(room);
    status = inflate(&z, Z_NO_FLUSH);
    in_done += in - z.avail_in;
    out_done += room - z.avail_out;
  }
  if (status != Z_STREAM_END || out_done != out.size())
    bad(where, "its compressed data are broken: " + std::to_string(out_done) + " bytes came out, " +
                   std::to_string(m.size) + " were declared.");
  return share(std::move(out));
}

uint32_t crc_of(Bytes bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

ZipFile ZipFile::open(const std::string& path) { return ZipFile(path, map_file(path)); }

ZipFile::ZipFile(std::string name, SharedBytes bytes) : name_(std::move(name)), bytes_(std::move(bytes)) { parse(); }

void ZipFile::parse() {
  Bytes file = bytes_.bytes;
  size_t end = find_end(name_, file);
  uint64_t count = load<uint16_t>(&file[end + 10]), size = load<uint32_t>(&file[end + 12]),
           start = load<uint32_t>(&file[end + 16]);
  uint64_t limit = end;  // the directory must end before its end record
  if (end >= kLocatorSize && load<uint32_t>(&file[end - kLocatorSize]) == kLocator64) {
    uint64_t at = load<uint64_t>(&file[end - kLocatorSize + 8]);
    limit = end - kLocatorSize;
    if (limit < kEnd64Size || at > limit - kEnd64Size || load<uint32_t>(&file[at]) != kEnd64)
      bad(name_, "its zip64 end record is not where its locator says.");
    limit = at;
    count = load<uint64_t>(&file[at + 32]);
    size = load<uint64_t>(&file[at + 40]);
    start = load<uint64_t>(&file[at + 48]);
  }
  if (start > limit || size > limit - start) bad(name_, "its directory lies outside of the file.");
  if (count > size / kCentralSize)
    bad(name_, "its directory is too small for its " + std::to_string(count) + " members.");
  directory_ = {start, size};

  size_t at = start, stop = start + size;
  for (uint64_t i = 0; i < count; ++i) {
    if (stop - at < kCentralSize || load<uint32_t>(&file[at]) != kCentral)
      bad(name_, "entry " + std::to_string(i) + " of its directory is broken.");
    size_t name = load<uint16_t>(&file[at + 28]), extra = load<uint16_t>(&file[at + 30]),
           comment = load<uint16_t>(&file[at + 32]);
    if (stop - at - kCentralSize < name + extra + comment)
      bad(name_, "entry " + std::to_string(i) + " of its directory does not fit.");
    ZipMember m;
    m.name = as_text(file.subspan(at + kCentralSize, name));
    std::string where = name_ + ": " + m.name;
    uint16_t flags = load<uint16_t>(&file[at + 8]), method = load<uint16_t>(&file[at + 10]);
    m.crc = load<uint32_t>(&file[at + 16]);
    m.stored_size = load<uint32_t>(&file[at + 20]);
    m.size = load<uint32_t>(&file[at + 24]);
    m.local_header = load<uint32_t>(&file[at + 42]);
    m.central_header = at;
    m.central_size = kCentralSize + name + extra + comment;
    read_zip64(where, file.subspan(at + kCentralSize + name, extra), m, &m.local_header);
    if (flags & 1) bad(where, "is encrypted.");
    if (method != 0 && method != 8) bad(where, "is compressed by method " + std::to_string(method) + ", not 0 or 8.");
    m.deflated = method == 8;
    if (!m.deflated && m.size != m.stored_size)
      bad(where,
          "is stored, but of two sizes: " + std::to_string(m.size) + " and " + std::to_string(m.stored_size) + ".");
    m.offset = data_offset(m);
    if (m.offset > start || m.stored_size > start - m.offset) bad(where, "its data lie outside of the file.");
    if (m.name.find('\0') != std::string::npos) bad(where, "its name holds a NUL.");
    if (!index_.emplace(m.name, members_.size()).second) bad(where, "is in the archive twice.");
    members_.push_back(std::move(m));
    at += members_.back().central_size;
  }

  // Two members over the same bytes: the trick of zip bombs, and no writer does it.
  std::vector<const ZipMember*> order;
  for (const ZipMember& m : members_) order.push_back(&m);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->local_header < b->local_header; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->local_header < order[i - 1]->offset + order[i - 1]->stored_size)
      bad(name_ + ": " + order[i]->name, "overlaps '" + order[i - 1]->name + "'.");
}

uint64_t ZipFile::data_offset(const ZipMember& m) const {
  Bytes file = bytes_.bytes;
  std::string where = name_ + ": " + m.name;
  if (m.local_header > directory_.offset || directory_.offset - m.local_header < kLocalSize ||
      load<uint32_t>(&file[m.local_header]) != kLocal)
    bad(where, "its header is not where the directory says.");
  size_t name = load<uint16_t>(&file[m.local_header + 26]), extra = load<uint16_t>(&file[m.local_header + 28]);
  uint64_t offset = m.local_header + kLocalSize + name + extra;
  if (offset > directory_.offset) bad(where, "its header does not fit.");
  if (as_text(file.subspan(m.local_header + kLocalSize, name)) != m.name)
    bad(where, "has another name in its own header.");
  return offset;
}

const ZipMember* ZipFile::find(std::string_view member) const {
  auto found = index_.find(member);
  return found == index_.end() ? nullptr : &members_[found->second];
}

SharedBytes ZipFile::read(std::string_view member) const {
  const ZipMember* m = find(member);
  if (!m) throw Error(ErrorKind::BadFile, name_, "has no member '" + std::string(member) + "'.");
  SharedBytes data = bytes_.part(m->offset, m->stored_size);
  if (!m->deflated) return data;
  std::string where = name_ + ": " + m->name;
  SharedBytes out = inflate_member(where, data.bytes, *m);
  if (crc_of(out.bytes) != m->crc) bad(where, "its checksum does not fit its data.");
  return out;
}

void ZipFile::verify(std::string_view member) const {
  SharedBytes data = read(member);
  if (crc_of(data.bytes) != find(member)->crc)
    bad(name_ + ": " + std::string(member), "its checksum does not fit its data.");
}

}  // namespace midstream
