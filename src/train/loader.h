// Batches of a dataset in order or shuffled, made by a thread of its own while the model trains.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/batch.h"

namespace midstream {

// The order of the samples in an epoch: a function of seed and epoch alone, so that a resumed run goes on with the very
// next batch. Without shuffling: empty, which means 0, 1, 2, ...
std::vector<int64_t> sample_order(int64_t samples, bool shuffle, uint64_t seed, int64_t epoch);

class Loader {
 public:
  // Batches `first_batch`, first_batch + 1, ... of one pass over the data; the last one may be smaller.
  Loader(const Dataset& data, std::vector<int64_t> order, int64_t batch_size, int64_t first_batch);
  ~Loader();
  Loader(const Loader&) = delete;

  std::optional<Batch> next();  // throws what the dataset threw

 private:
  void run(int64_t first_batch);
  Batch make(int64_t first, int64_t last) const;

  const Dataset& data_;
  const std::vector<int64_t> order_;
  const int64_t batch_size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  size_t ahead_ = 0;  // how many may be ready; set by the first batch
  std::exception_ptr error_;
  bool done_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace midstream
