// Sizes that come from a file, checked before anything is multiplied, allocated or sliced by them.
#pragma once

#include <string>

#include "base/dtype.h"
#include "base/error.h"

namespace midstream {

// Bytes of an array of that shape. Throws Error(BadFile) for negative sizes and for products beyond 2^48.
inline uint64_t checked_nbytes(const std::string& where, const Dims& shape, size_t item) {
  constexpr uint64_t kMost = uint64_t{1} << 48;
  // A zero anywhere must not hide an overflow: strides and the like are computed from all sizes.
  uint64_t bytes = item ? item : 1;
  bool zero = false;
  for (int64_t size : shape) {
    if (size == 0) {
      zero = true;
      continue;
    }
    if (size < 0 || static_cast<uint64_t>(size) > kMost / bytes)
      throw Error(ErrorKind::BadFile, where, "has the impossible shape " + to_string(shape) + ".",
                  "The file is damaged.");
    bytes *= static_cast<uint64_t>(size);
  }
  return zero || item == 0 ? 0 : bytes;
}

}  // namespace midstream
