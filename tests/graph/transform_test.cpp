// Transforms are bijections: T^-1(T(w)) is w, bit for bit; shapes and text agree with the arrays.
#include "graph/transform.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"

namespace midstream {
namespace {

Array counting(DType dtype, Dims dims) {
  std::byte* bytes = nullptr;
  Array a = Array::allocate(dtype, std::move(dims), &bytes);
  for (size_t i = 0; i < a.nbytes(); ++i) bytes[i] = static_cast<std::byte>(i * 37 + i / 256);
  return a;
}

bool same(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::equal(a.bytes(), a.bytes() + a.nbytes(), b.bytes());
}

const std::vector<Transforms>& chains() {
  static const std::vector<Transforms> kChains{
      {Permute{{3, 2, 0, 1}}},
      {Permute{{2, 3, 0, 1}}, Reshape{{6, 4, 2, 3}, {24, 1, 2, 3}}},
      {Flip{{0, 1}}, Permute{{3, 2, 0, 1}}},
      {Blocks{2, {1, 0, 2}}},
      {Blocks{-1, {3, 1, 0, 2}}, Flip{{-2}}},
      {Reshape{{2, 3, 6, 4}, {6, 24}}, Permute{{1, 0}}, Blocks{0, {2, 0, 1}}},
  };
  return kChains;
}

TEST(Transform, InverseUndoesEveryBit) {
  for (DType dtype : {DType::UInt8, DType::Float16, DType::Float32, DType::Float64, DType::Complex128}) {
    const Array w = counting(dtype, {2, 3, 6, 4});
    for (const Transforms& chain : chains()) {
      const Array stored = midstream::apply(chain, w);
      EXPECT_EQ(stored.shape(), midstream::apply(chain, w.shape())) << to_string(chain);
      EXPECT_TRUE(same(midstream::apply(inverse(chain), stored), w)) << to_string(chain);
      EXPECT_EQ(inverse(inverse(chain)), chain);
    }
  }
}

TEST(Transform, TextIsReadBack) {
  for (const Transforms& chain : chains()) EXPECT_EQ(parse_transforms(to_string(chain)), chain) << to_string(chain);
  EXPECT_EQ(to_string(chains()[1]), "permute(2, 3, 0, 1) reshape([6, 4, 2, 3] -> [24, 1, 2, 3])");
  EXPECT_EQ(to_string(chains()[4]), "blocks(-1: 3, 1, 0, 2) flip(-2)");
  EXPECT_THROW(parse_transforms("rotate(1)"), Error);
  EXPECT_THROW(parse_transforms("permute(1, 0"), Error);
}

TEST(Transform, MovesElementsAsNumPyDoes) {
  const Array w = Array::of(DType::Int32, {2, 3}, std::vector<int32_t>{0, 1, 2, 3, 4, 5});
  auto values = [](const Array& a) { return a.copy<int32_t>(); };
  EXPECT_EQ(values(midstream::apply({Permute{{1, 0}}}, w)), (std::vector<int32_t>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(values(midstream::apply({Flip{{1}}}, w)), (std::vector<int32_t>{2, 1, 0, 5, 4, 3}));
  EXPECT_EQ(values(midstream::apply({Blocks{1, {2, 0, 1}}}, w)), (std::vector<int32_t>{2, 0, 1, 5, 3, 4}));
}

TEST(Transform, AnArrayOfAMappedFileMayBeUnaligned) {
  auto bytes = std::make_shared<std::vector<std::byte>>(1 + 6 * sizeof(float));
  const float numbers[] = {0, 1, 2, 3, 4, 5};
  std::memcpy(bytes->data() + 1, numbers, sizeof numbers);
  const Array w(DType::Float32, {2, 3}, bytes, bytes->data() + 1);
  EXPECT_EQ(midstream::apply({Permute{{1, 0}}}, w).copy<float>(), (std::vector<float>{0, 3, 1, 4, 2, 5}));
}

TEST(Transform, EmptyArraysAndMisfits) {
  EXPECT_EQ(midstream::apply({Permute{{1, 0}}}, counting(DType::Float32, {0, 3})).shape(), (Dims{3, 0}));
  EXPECT_THROW(midstream::apply(Transforms{Permute{{0, 0}}}, Dims{2, 3}), Error);
  EXPECT_THROW(midstream::apply(Transforms{Permute{{1, 0}}}, Dims{2, 3, 4}), Error);
  EXPECT_THROW(midstream::apply(Transforms{Reshape{{2, 3}, {5}}}, Dims{2, 3}), Error);
  EXPECT_THROW(midstream::apply(Transforms{Blocks{0, {0, 1}}}, Dims{3}), Error);
}

}  // namespace
}  // namespace midstream
