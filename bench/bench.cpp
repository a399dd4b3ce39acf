// What bench/run.py measures of the C++ core.
//
//   midstream_bench train FILE DATA.npz BATCH    `midstream train`'s loop: after each line on stdin, one epoch
//   midstream_bench open FILE                    opens for training; then touches every byte of weights and slots
//   midstream_bench read FILE                    reads the bytes, for comparison
//
// Answers are lines of JSON, as those of worker.py.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "data/npz.h"
#include "train/memory.h"
#include "train/run.h"

namespace midstream {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double processor() {  // of all threads
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

int64_t peak() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void answer(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

int train(const std::string& file, const std::string& npz, int64_t batch) {
  keep_freed_memory();  // as the command does
  Run run = Run::resume(file);
  const data::Npz data(npz);
  const FitOptions options{.batch_size = batch, .shuffle = false, .progress = false};
  const double steps = static_cast<double>((data.samples() + batch - 1) / batch);
  run.fit(data, options);
  answer(R"({"ready": true})");
  for (std::string line; std::getline(std::cin, line);) {
    const double start = now(), used = processor();
    run.fit(data, options);
    answer(fmt::format(R"({{"seconds": {}, "processor": {}}})", (now() - start) / steps, (processor() - used) / steps));
  }
  return 0;
}

int open(const std::string& file) {
  const int64_t before = peak();
  const double start = now();
  Run run = Run::resume(file);
  VariableStore& store = run.variables();
  for (size_t i = 0; i < store.variables()->size(); ++i) store.tensor(i);
  const double opened = now() - start;
  const int64_t peak_opened = peak();
  double sum = 0;
  {
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < store.variables()->size(); ++i)
      if (store.tensor(i).is_floating_point()) sum += store.tensor(i).sum().item<double>();
  }
  answer(fmt::format(R"({{"seconds": {}, "peak": {}, "touched": {}, "peak_touched": {}, "before": {}, "sum": {}}})",
                     opened, peak_opened, now() - start, peak(), before, sum));
  return 0;
}

int read(const std::string& file) {
  const int64_t before = peak();
  const double start = now();
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  const std::streamsize size = in.tellg();
  std::unique_ptr<char[]> bytes(new char[static_cast<size_t>(size)]);
  in.seekg(0).read(bytes.get(), size);
  answer(
      fmt::format(R"({{"seconds": {}, "peak": {}, "before": {}, "size": {}}})", now() - start, peak(), before, size));
  return in ? 0 : 1;
}

int bench(const std::vector<std::string>& words) {
  const char* threads = std::getenv("MIDSTREAM_BENCH_THREADS");
  at::set_num_threads(threads ? std::atoi(threads) : 2);
  if (words.size() == 4 && words[0] == "train") return train(words[1], words[2], std::stoll(words[3]));
  if (words.size() == 2 && words[0] == "open") return open(words[1]);
  if (words.size() == 2 && words[0] == "read") return read(words[1]);
  return 2;
}

}  // namespace
}  // namespace midstream

int main(int argc, char** argv) {
  try {
    return midstream::bench({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "midstream_bench: {}\n", error.what());
    return 1;
  }
}
