#include "formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/mapping.h"

namespace midstream {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what, const std::string& hint = {}) {
  throw Error(ErrorKind::BadFile, path, what + ": " + std::strerror(errno) + ".", hint);
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void write_all(int fd, const std::byte* data, size_t count, const std::string& path) {
  while (count > 0) {
    ssize_t n = ::write(fd, data, std::min(count, size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path, "cannot be written", "Nothing was changed.");
    data += n;
    count -= static_cast<size_t>(n);
  }
}

}  // namespace

void sync_folder(const std::string& folder) {
  Descriptor d{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (d.fd >= 0) (void)::fsync(d.fd);
}

SharedBytes map_file(const std::string& path) {
  Descriptor d{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (d.fd < 0) fail(path, "cannot be opened");
  struct stat info{};
  if (::fstat(d.fd, &info) != 0) fail(path, "cannot be examined");
  if (!S_ISREG(info.st_mode)) throw Error(ErrorKind::BadFile, path, "is not a regular file.");
  size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return {};
  // Writable but private: a tensor over the map may be trained in place, page by page copied by the kernel.
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, d.fd, 0);
  if (address == MAP_FAILED) fail(path, "cannot be mapped");
  std::shared_ptr<const void> owner(static_cast<const void*>(address), Unmap{size});
  return {{static_cast<const std::byte*>(address), size}, std::move(owner)};
}

SharedBytes share(std::vector<std::byte> buffer) {
  auto owner = std::make_shared<std::vector<std::byte>>(std::move(buffer));
  return {{owner->data(), owner->size()}, owner};
}

SharedBytes share(std::string buffer) {
  auto owner = std::make_shared<std::string>(std::move(buffer));
  return {as_bytes(*owner), owner};
}

void FileWriter::write(Bytes bytes) {
  write_all(descriptor_, bytes.data(), bytes.size(), path_);
  position_ += bytes.size();
}

void FileWriter::zeros(size_t count) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  for (; count > kZeros.size(); count -= kZeros.size()) write(kZeros);
  write(Bytes(kZeros).first(count));
}

void FileWriter::write_at(uint64_t offset, Bytes bytes) {
  if (offset > position_ || bytes.size() > position_ - offset)
    throw Error(ErrorKind::Internal, path_, "write_at beyond what was written.");
  while (!bytes.empty()) {
    ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path_, "cannot be written", "Nothing was changed.");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void atomic_write(const std::string& path, const std::function<void(FileWriter&)>& fill, const FileCheck& check) {
  namespace fs = std::filesystem;
  // Through a symbolic link: the link stays, its target is replaced.
  std::error_code ignored;
  fs::path target = path;
  if (fs::is_symlink(target, ignored)) {
    fs::path resolved = fs::canonical(target, ignored);
    if (!ignored) target = resolved;
  }
  fs::path folder = target.parent_path().empty() ? fs::path(".") : target.parent_path();
  std::string temporary = (folder / (".midstream-XXXXXX")).string();

  int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) fail(path, "cannot be written (no temporary file beside it)", "Check the folder and its permissions.");
  try {
    Descriptor d{fd};
    struct stat old{};
    mode_t mask = ::umask(0);
    ::umask(mask);
    mode_t mode = ::stat(target.c_str(), &old) == 0 ? (old.st_mode & 07777) : (0666 & ~mask);
    (void)::fchmod(fd, mode);
    FileWriter writer(fd, path);
    fill(writer);
    if (::fsync(fd) != 0) fail(path, "cannot be written", "Nothing was changed.");
    d.fd = -1;
    if (::close(fd) != 0) fail(path, "cannot be written", "Nothing was changed.");
    if (check) check(temporary);
    if (::rename(temporary.c_str(), target.c_str()) != 0) fail(path, "cannot be replaced", "Nothing was changed.");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(folder);
}

void atomic_write(const std::string& path, Bytes bytes, const FileCheck& check) {
  atomic_write(path, [&](FileWriter& writer) { writer.write(bytes); }, check);
}

}  // namespace midstream
