#include "train/threads.h"

#include <algorithm>

// libtorch carries MKL where it was built with it, and gives this function away; it is null elsewhere.
extern "C" [[gnu::weak]] int MKL_Set_Num_Threads_Local(int threads);

namespace midstream {

ValueSizes::ValueSizes(const Graph& graph) {
  for (const ValueInfo& info : graph.values) {
    if (info.type.kind != Kind::Tensor) continue;
    size_t open = 0;
    int64_t product = 1;
    for (int64_t size : info.type.dims)
      if (size == kUnknown)
        ++open;
      else
        product *= size;
    if (products_.size() <= open) products_.resize(open + 1, 0);
    products_[open] = std::max(products_[open], product);
  }
}

int64_t ValueSizes::largest(int64_t open) const {
  int64_t most = 0, power = 1;
  for (int64_t product : products_) {
    most = std::max(most, product * power);
    power *= std::max<int64_t>(open, 1);
  }
  return most;
}

SerialProducts::SerialProducts(bool serial) : serial_(serial && MKL_Set_Num_Threads_Local) {
  if (serial_) before_ = MKL_Set_Num_Threads_Local(1);
}

SerialProducts::~SerialProducts() {
  if (serial_) MKL_Set_Num_Threads_Local(before_);  // 0: as for the process
}

}  // namespace midstream
