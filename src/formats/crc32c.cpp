// CRC-32C. leveldb has it, but hides it; Debian has no package of it for C++. x86 processors since 2008 have an
// instruction, other machines use a table.
#include <array>

#include "formats/little_endian.h"
#include "formats/tensor_bundle.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace midstream {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0x82f63b78u ^ (crc >> 1) : crc >> 1;
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

uint32_t by_table(Bytes bytes, uint32_t crc) {
  for (std::byte b : bytes) crc = kTable[(crc ^ static_cast<uint32_t>(b)) & 255] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(Bytes bytes, uint32_t crc) {
  const std::byte *at = bytes.data(), *end = at + bytes.size();
  uint64_t wide = crc;
  for (; end - at >= 8; at += 8) wide = _mm_crc32_u64(wide, load<uint64_t>(at));
  crc = static_cast<uint32_t>(wide);
  for (; at < end; ++at) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*at));
  return crc;
}
#endif

}  // namespace

uint32_t crc32c(Bytes bytes, uint32_t crc) {
  crc = ~crc;
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return ~by_instruction(bytes, crc);
#endif
  return ~by_table(bytes, crc);
}

uint32_t mask_crc32c(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }
uint32_t masked_crc32c(Bytes bytes) { return mask_crc32c(crc32c(bytes)); }

}  // namespace midstream
