#include "libtorch/ops/philox.h"

namespace midstream {
namespace {

constexpr uint32_t kWeylA = 0x9E3779B9, kWeylB = 0xBB67AE85;
constexpr uint64_t kMultiplierA = 0xD2511F53, kMultiplierB = 0xCD9E8D57;

// -O2 leaves these loops scalar, and the baseline instruction set has no wide vectors.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define MIDSTREAM_VECTORIZED __attribute__((optimize("O3"), target_clones("avx512f", "avx2", "default")))
#else
#define MIDSTREAM_VECTORIZED
#endif

MIDSTREAM_VECTORIZED void ten_rounds(Philox::Lanes& c, uint64_t key) {
  uint32_t key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < Philox::kLanes; ++i) {
      const uint64_t a = kMultiplierA * c[0][i], b = kMultiplierB * c[2][i];
      const uint32_t c1 = c[1][i], c3 = c[3][i];
      c[0][i] = static_cast<uint32_t>(b >> 32) ^ c1 ^ key0;
      c[1][i] = static_cast<uint32_t>(b);
      c[2][i] = static_cast<uint32_t>(a >> 32) ^ c3 ^ key1;
      c[3][i] = static_cast<uint32_t>(a);
    }
    key0 += kWeylA;
    key1 += kWeylB;
  }
}

}  // namespace

void Philox::blocks(uint64_t first, Lanes& out) const {
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t low = counter_low + first + static_cast<uint64_t>(i);
    const uint64_t high = counter_high + (low < counter_low ? 1 : 0);
    out[0][i] = static_cast<uint32_t>(low);
    out[1][i] = static_cast<uint32_t>(low >> 32);
    out[2][i] = static_cast<uint32_t>(high);
    out[3][i] = static_cast<uint32_t>(high >> 32);
  }
  ten_rounds(out, key);
}

std::array<uint32_t, 4> Philox::block(uint64_t index) const {
  Lanes lanes;
  blocks(index, lanes);
  return {lanes[0][0], lanes[1][0], lanes[2][0], lanes[3][0]};
}

Philox Philox::from_seed(int64_t seed0, int64_t seed1) {
  const Philox scrambler{.key = 0x02461E293EC8F720,
                         .counter_low = static_cast<uint64_t>(seed0),
                         .counter_high = static_cast<uint64_t>(seed1)};
  const auto mix = scrambler.block(0);
  auto join = [](uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; };
  return {.key = join(mix[0], mix[1]), .counter_low = 0, .counter_high = join(mix[2], mix[3])};
}

}  // namespace midstream
