// The header of an .npy file. Internal to npz.cpp.
#pragma once

#include <optional>
#include <string>

#include "base/dtype.h"
#include "formats/mapped_file.h"

namespace midstream {

inline constexpr size_t kNpyMaxRank = 64;  // numpy's own limit

struct NpyHeader {
  char kind = 0;               // numpy's letter: b i u f c S U V
  std::optional<DType> dtype;  // nullopt for S and U
  size_t item = 0;             // bytes per element
  bool swapped = false;        // big-endian
  size_t swap_unit = 1;        // bytes to reverse at a time
  bool fortran = false;
  Dims shape;
  size_t data = 0;  // where the elements start
};

// Throws Error(BadFile); Error(Unsupported) for structured types.
NpyHeader parse_npy_header(const std::string& name, Bytes bytes);
// A header of version 1 (2 if it is long), padded to 64 bytes as numpy does. `width` is of strings, in characters.
std::string npy_header(DType dtype, const Dims& shape, size_t width, bool unicode);

}  // namespace midstream
