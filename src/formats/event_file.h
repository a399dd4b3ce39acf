// TensorFlow's event files, which TensorBoard reads: records (TFRecord framing) of Event messages
// (tensorflow/core/util/event.proto), here of scalars only.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace midstream {

// Appends to a new file events.out.tfevents.* in `directory`, which is made if need be. What was written stays readable
// if the process dies: a reader stops at a record that is not whole. Throws Error(BadFile) if the disk is full.
class EventFile {
 public:
  explicit EventFile(const std::string& directory);
  ~EventFile();
  EventFile(EventFile&&) noexcept;

  // One event of all these values, handed to the system when this returns.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);

 private:
  void record(const std::string& event);
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace midstream
