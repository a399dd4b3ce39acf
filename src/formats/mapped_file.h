// Files as bytes: read-only memory maps, and writes that happen completely or not at all.
// A map is private (copy on write): its owner may hand the memory to somebody who changes it, the file never changes.
// Whoever holds SharedBytes keeps the map (or buffer) alive. A file that another program truncates while it is mapped
// raises SIGBUS on access, as with every mmap; our own writers replace files by rename, which is safe.
// Throws Error(BadFile), with the system's reason, for what cannot be opened, read or written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace midstream {

using Bytes = std::span<const std::byte>;

inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }

// Bytes and whatever keeps them alive.
struct SharedBytes {
  Bytes bytes;
  std::shared_ptr<const void> owner;

  const std::byte* data() const { return bytes.data(); }
  size_t size() const { return bytes.size(); }
  std::string_view text() const { return as_text(bytes); }
  // A part, kept alive by the same owner. The caller has checked the range.
  SharedBytes part(size_t offset, size_t length) const { return {bytes.subspan(offset, length), owner}; }
};

struct ByteRange {
  uint64_t offset = 0, length = 0;
  bool operator==(const ByteRange&) const = default;
};

// The whole file, mapped. An empty file gives empty bytes.
SharedBytes map_file(const std::string& path);
// A buffer of ours as SharedBytes.
SharedBytes share(std::vector<std::byte> buffer);
SharedBytes share(std::string buffer);

// Where atomic_write's callback puts its bytes. Each write throws on failure (disk full, say).
class FileWriter {
 public:
  FileWriter(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  void write(Bytes bytes);
  void write(std::string_view text) { write(as_bytes(text)); }
  void zeros(size_t count);
  // Overwrites bytes already written; the position stays.
  void write_at(uint64_t offset, Bytes bytes);
  uint64_t position() const { return position_; }

 private:
  int descriptor_;
  std::string path_;
  uint64_t position_ = 0;
};

// Writes a temporary file beside `path`, flushes it to disk and renames it over `path`. If anything throws, the
// temporary file is removed and what was at `path` is untouched. The mode of an existing file is kept.
// `check` may look at the finished temporary file, by its path, before it takes its place; what it throws counts too.
using FileCheck = std::function<void(const std::string& written)>;
void atomic_write(const std::string& path, const std::function<void(FileWriter&)>& fill, const FileCheck& check = {});
void atomic_write(const std::string& path, Bytes bytes, const FileCheck& check = {});
// Makes a rename inside `folder` survive a power cut. Some file systems cannot sync a folder; nothing happens then.
void sync_folder(const std::string& folder);

}  // namespace midstream
