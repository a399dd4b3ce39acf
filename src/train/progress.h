// One line that shows where training stands; only on a terminal.
#pragma once

#include <chrono>
#include <string>

#include "train/run.h"

namespace midstream {

class Progress {
 public:
  explicit Progress(bool wanted);  // silent if standard error is no terminal
  ~Progress();
  void step(const std::string& where, int64_t batch, int64_t batches, double loss);
  void epoch(const std::string& where, const Logs& logs);

 private:
  const bool shown_;
  bool open_ = false;  // a line without its end stands on the terminal
  std::chrono::steady_clock::time_point start_, last_;
  int64_t first_ = -1;
};

// While it lives, Ctrl-C sets `stop` instead of ending the process; a second one ends it.
class CatchInterrupt {
 public:
  CatchInterrupt();
  ~CatchInterrupt();
  const std::atomic<bool>* stop() const;
};

}  // namespace midstream
