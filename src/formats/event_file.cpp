#include "formats/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <protozero/pbf_writer.hpp>

#include "base/error.h"
#include "formats/little_endian.h"
#include "formats/mapped_file.h"
#include "formats/tensor_bundle.h"

namespace midstream {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// The name by which TensorBoard knows an event file; two of one second and process differ by the number.
std::string new_name() {
  static std::atomic<int> made{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("events.out.tfevents.{:010}.{}.{}.{}.v2", static_cast<int64_t>(now()), host, ::getpid(), made++);
}

void append_with_crc(std::string& out, const std::string& bytes) {
  out += bytes;
  append<uint32_t>(out, masked_crc32c(as_bytes(bytes)));
}

}  // namespace

EventFile::EventFile(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  path_ = (std::filesystem::path(directory) / new_name()).string();
  descriptor_ = error ? -1 : ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw Error(ErrorKind::Usage, path_, fmt::format("cannot be made: {}.", error ? error.message() : strerror(errno)));
  std::string event;
  protozero::pbf_writer w(event);
  w.add_double(1, now());
  w.add_string(3, "brain.Event:2");
  record(event);
}

EventFile::EventFile(EventFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

EventFile::~EventFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void EventFile::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string event;
  protozero::pbf_writer w(event);
  w.add_double(1, now());
  w.add_int64(2, step);
  {
    protozero::pbf_writer summary(w, 5);
    for (const auto& [tag, value] : values) {
      protozero::pbf_writer v(summary, 1);
      v.add_string(1, tag);
      v.add_float(2, static_cast<float>(value));
    }
  }
  record(event);
}

// length, its checksum, the bytes, their checksum: little-endian (tensorflow/core/lib/io/record_writer.h).
void EventFile::record(const std::string& event) {
  std::string length, out;
  append<uint64_t>(length, event.size());
  append_with_crc(out, length);
  append_with_crc(out, event);
  FileWriter(descriptor_, path_).write(out);
}

}  // namespace midstream
