#include "train/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/text.h"

namespace midstream {

Progress::Progress(bool wanted) : shown_(wanted && ::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (open_) std::fputc('\n', stderr);
}

void Progress::step(const std::string& where, int64_t batch, int64_t batches, double loss) {
  if (!shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (first_ < 0) first_ = batch - 1, start_ = now;
  if (open_ && batch != batches && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  const double ms = std::chrono::duration<double, std::milli>(now - start_).count() /
                    static_cast<double>(std::max<int64_t>(1, batch - first_));
  const int64_t width = 24, full = batches > 0 ? width * batch / batches : 0;
  fmt::print(stderr, "\r{} [{:=>{}}{:>{}}] {}/{}  loss {:.6g}  {:.1f} ms/step \033[K", where, "", full, "",
             width - full, batch, batches, loss, ms);
  std::fflush(stderr);
  open_ = true;
}

void Progress::epoch(const std::string& where, const Logs& logs) {
  first_ = -1;
  if (!shown_) return;
  fmt::print(stderr, "\r{}", where);
  for (const auto& [name, value] : logs) fmt::print(stderr, "  {} {:.6g}", printable(name), value);
  fmt::print(stderr, "\033[K\n");
  open_ = false;
}

namespace {
std::atomic<bool> interrupted{false};
struct sigaction before;
extern "C" void on_interrupt(int) {
  interrupted = true;
  std::signal(SIGINT, SIG_DFL);
}
}  // namespace

CatchInterrupt::CatchInterrupt() {
  interrupted = false;
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, &before);
}

CatchInterrupt::~CatchInterrupt() { sigaction(SIGINT, &before, nullptr); }

const std::atomic<bool>* CatchInterrupt::stop() const { return &interrupted; }

}  // namespace midstream
