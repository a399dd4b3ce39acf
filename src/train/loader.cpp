#include "train/loader.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace midstream {

namespace {

// Batches made ahead of the one that trains: two, and more of small ones, since waking a thread takes as long as a
// small model's operator.
size_t ahead_of(const Batch& batch) {
  constexpr size_t kBytes = size_t{1} << 20, kMost = 64;
  size_t bytes = 1;
  for (const auto* tensors : {&batch.x, &batch.y, &batch.sample_weight})
    for (const at::Tensor& t : *tensors) bytes += t.nbytes();
  return std::clamp(kBytes / bytes, size_t{2}, kMost);
}

}  // namespace

std::vector<int64_t> sample_order(int64_t samples, bool shuffle, uint64_t seed, int64_t epoch) {
  if (!shuffle) return {};
  std::vector<int64_t> order(static_cast<size_t>(samples));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(epoch));
  // Not std::shuffle, whose result differs between standard libraries.
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[static_cast<size_t>(random() % i)]);
  return order;
}

Loader::Loader(const Dataset& data, std::vector<int64_t> order, int64_t batch_size, int64_t first_batch)
    : data_(data), order_(std::move(order)), batch_size_(batch_size) {
  thread_ = std::thread([this, first_batch] { run(first_batch); });
}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Batch Loader::make(int64_t first, int64_t last) const {
  if (order_.empty()) return data_.slice(first, last);
  return data_.take({order_.begin() + first, order_.begin() + last});
}

void Loader::run(int64_t first_batch) {
  const int64_t n = data_.samples();
  try {
    for (int64_t first = first_batch * batch_size_; first < n; first += batch_size_) {
      Batch batch = make(first, std::min(n, first + batch_size_));
      std::unique_lock lock(mutex_);
      if (ahead_ == 0) ahead_ = ahead_of(batch);
      // A full queue is filled again when half of it is gone.
      if (ready_.size() >= ahead_) changed_.wait(lock, [&] { return stop_ || ready_.size() <= ahead_ / 2; });
      if (stop_) return;
      ready_.push_back(std::move(batch));
      if (ready_.size() == 1) changed_.notify_all();
    }
  } catch (...) {
    std::lock_guard lock(mutex_);
    error_ = std::current_exception();
  }
  std::lock_guard lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

std::optional<Batch> Loader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ || !ready_.empty(); });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return std::nullopt;
  }
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  if (ready_.size() == ahead_ / 2) changed_.notify_all();
  return batch;
}

}  // namespace midstream
