// Little-endian numbers at unaligned places. Nothing is checked here: the caller knows the range.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

namespace midstream {

static_assert(std::endian::native == std::endian::little, "the readers hand out file bytes as numbers");

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

}  // namespace midstream
