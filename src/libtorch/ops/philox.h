// Philox 4x32-10, the counter-based generator behind TensorFlow's random ops on CPU and GPU (Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3"). Block i of a stream depends on nothing but i, so a stream is filled in parallel
// and from any position. Blocks are computed kLanes at a time, in loops that the compiler turns into vector code.
#pragma once

#include <array>
#include <cstdint>

namespace midstream {

struct Philox {
  uint64_t key = 0;
  uint64_t counter_low = 0, counter_high = 0;

  static constexpr int kLanes = 16;
  using Lanes = std::array<std::array<uint32_t, kLanes>, 4>;

  // Blocks first .. first + kLanes - 1 of the stream: word w of block first + i is out[w][i].
  void blocks(uint64_t first, Lanes& out) const;
  std::array<uint32_t, 4> block(uint64_t index) const;

  // TensorFlow's stateless ops scramble the two words of their seed, so that any two seeds give unrelated streams.
  static Philox from_seed(int64_t seed0, int64_t seed1);
};

}  // namespace midstream
