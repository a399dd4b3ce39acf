// Zip archives (.keras, .npz): members without copying where they are stored, new archives, and edits that leave
// everything else in the file as it was. Zip64 both ways; no encryption, no multi-disk archives; methods 0 and 8.
// ZipFile owns (shares) the mapped file; all headers are checked when it is opened, data when it is read.
// Throws Error(BadFile, "<file>: <member>", ...).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/mapped_file.h"

namespace midstream {

struct ZipMember {
  std::string name;
  uint64_t size = 0;         // of the contents
  uint64_t stored_size = 0;  // in the file; equal to size unless deflated
  uint64_t offset = 0;       // of the data in the file
  uint32_t crc = 0;
  bool deflated = false;

  // Where the headers are, for edits.
  uint64_t local_header = 0, central_header = 0, central_size = 0;
  bool is_folder() const { return !name.empty() && name.back() == '/'; }
};

class ZipFile {
 public:
  static ZipFile open(const std::string& path);
  // An archive already in memory; `name` is only used in messages.
  ZipFile(std::string name, SharedBytes bytes);

  const std::string& name() const { return name_; }
  const std::vector<ZipMember>& members() const { return members_; }  // in the order of the central directory
  const ZipMember* find(std::string_view member) const;               // nullptr if absent
  bool contains(std::string_view member) const { return find(member) != nullptr; }

  // The contents: a part of the mapped file when stored, an inflated buffer (CRC checked) otherwise.
  SharedBytes read(std::string_view member) const;
  // Reads every byte of a member and compares its CRC; `read` does not do that for stored members.
  void verify(std::string_view member) const;
  const SharedBytes& bytes() const { return bytes_; }

 private:
  friend class ZipEdit;
  void parse();
  uint64_t data_offset(const ZipMember& member) const;

  std::string name_;
  SharedBytes bytes_;
  std::vector<ZipMember> members_;
  std::map<std::string, size_t, std::less<>> index_;
  ByteRange directory_;
};

// A new archive: members stored, in the given order, dated 1980-01-01, so equal input gives equal files. Data start at
// multiples of 64, so that arrays in them can be used in place.
void write_zip(const std::string& path, const std::vector<std::pair<std::string, Bytes>>& members);

// A changed copy of an archive. Bytes given to it must live until `write` has returned.
class ZipEdit {
 public:
  explicit ZipEdit(const ZipFile& source) : source_(source) {}
  // Overwrites part of a stored member. Patches of one member must not overlap.
  void patch(std::string_view member, uint64_t offset, Bytes bytes);
  // Gives a member new contents (stored); adds it at the end if there is none of that name.
  void replace(std::string_view member, Bytes bytes);
  void remove(std::string_view member);
  // Writes the copy atomically. `path` may be the source's own path. `check`: see atomic_write.
  void write(const std::string& path, const FileCheck& check = {}) const;

 private:
  struct Change {
    bool removed = false;
    std::optional<Bytes> contents;
    std::map<uint64_t, Bytes> patches;  // offset in the member -> bytes
  };
  const ZipMember& member(std::string_view name) const;

  ZipFile source_;
  std::map<std::string, Change, std::less<>> changes_;
  std::vector<std::string> added_;
};

}  // namespace midstream
