// cancel_permutes on the shapes that layers leave behind.
#include <gtest/gtest.h>

#include <algorithm>

#include "../graph/fake_dialect.h"
#include "passes/pass_manager.h"

namespace midstream {
namespace {

std::string run(const std::string& text) {
  auto graph = parse_graph(text, fake_dialect());
  verify(*graph, &fake_dialect());
  const std::vector<Pass> passes{{"cancel_permutes", cancel_permutes}, {"cse", cse}};
  run_pass_list(*graph, fake_dialect(), passes, {.verify = true});
  const std::string once = print(*graph, &fake_dialect());
  // A second run finds nothing to do.
  EXPECT_FALSE(run_pass_list(*graph, fake_dialect(), passes, {.verify = true}))
      << once << print(*graph, &fake_dialect());
  return once;
}

size_t count(const std::string& text, const std::string& word) {
  size_t n = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
  return n;
}

TEST(CancelPermutes, TwoConvolutionsKeepOnePermuteAtEachEnd) {
  EXPECT_EQ(run(R"(graph(%x: f32[?, 8, 8, 3]) {
              %w = variable "w" f32[4, 3, 3, 3]
              %v = variable "v" f32[5, 4, 3, 3]
              %1 = aten::permute(%x, dims=[0, 3, 1, 2])
              %2 = aten::conv2d(%1, %w, padding=[1, 1])
              %3 = aten::permute(%2, dims=[0, 2, 3, 1])
              %4 = aten::relu(%3)
              %5 = aten::constant_pad_nd(%4, pad=[0, 0, 1, 2, 3, 4])
              %6 = aten::permute(%5, dims=[0, 3, 1, 2])
              %7 = aten::conv2d(%6, %v)
              %8 = aten::permute(%7, dims=[0, 2, 3, 1])
              return %8
            })"),
            R"(graph(%x: f32[?, 8, 8, 3]) {
  %w = variable "w" f32[4, 3, 3, 3]
  %v = variable "v" f32[5, 4, 3, 3]
  %1 = aten::permute(%x, dims=[0, 3, 1, 2])
  %2 = aten::conv2d(%1, %w, padding=[1, 1])
  %3 = aten::relu(%2)
  %4 = aten::constant_pad_nd(%3, pad=[1, 2, 3, 4])
  %5 = aten::conv2d(%4, %v)
  %6 = aten::permute(%5, dims=[0, 2, 3, 1])
  return %6
}
)");
}

TEST(CancelPermutes, ResidualsBiasesAndSlopes) {
  const std::string out = run(R"(graph(%x: f32[?, 8, 8, 4]) {
    %w = variable "w" f32[4, 4, 1, 1]
    %bias = variable "bias" f32[4]
    %slopes = variable "slopes" f32[8, 8, 4]
    %1 = aten::permute(%x, dims=[0, 3, 1, 2])
    %2 = aten::conv2d(%1, %w)
    %3 = aten::permute(%2, dims=[0, 2, 3, 1])
    %4 = aten::add.Tensor(%3, %bias)
    %5 = aten::mul.Tensor(%4, %slopes)
    %6 = aten::add.Tensor(%x, %5)
    %7 = aten::permute(%6, dims=[0, 3, 1, 2])
    %8 = aten::conv2d(%7, %w)
    %9 = aten::permute(%8, dims=[0, 2, 3, 1])
    %10 = aten::mean.dim(%9, dim=[1, 2])
    return %10
  })");
  EXPECT_EQ(out, R"(graph(%x: f32[?, 8, 8, 4]) {
  %w = variable "w" f32[4, 4, 1, 1]
  %bias = variable "bias" f32[4]
  %slopes = variable "slopes" f32[8, 8, 4]
  %1 = aten::permute(%x, dims=[0, 3, 1, 2])
  %2 = aten::conv2d(%1, %w)
  %3 = aten::reshape(%bias, shape=[4, 1, 1])
  %4 = aten::add.Tensor(%2, %3)
  %5 = aten::reshape(%slopes, shape=[1, 8, 8, 4])
  %6 = aten::permute(%5, dims=[0, 3, 1, 2])
  %7 = aten::mul.Tensor(%4, %6)
  %8 = aten::add.Tensor(%1, %7)
  %9 = aten::conv2d(%8, %w)
  %10 = aten::mean.dim(%9, dim=[2, 3])
  return %10
}
)");
}

TEST(CancelPermutes, ConcatenationSlicesFlipsAndReductions) {
  const std::string out = run(R"(graph(%x: f32[?, 4, 8, 8]) {
    %3 = aten::permute(%x, dims=[0, 2, 3, 1])
    %4 = aten::relu(%3)
    %5 = aten::cat([%3, %4], dim=-1)
    %6 = aten::slice.Tensor(%5, dim=1, start=0, end=4)
    %7 = aten::flip(%6, dims=[2])
    %8 = aten::mean.dim(%7, dim=[3], keepdim=true)
    %9 = aten::mean.dim(%7, dim=[1])
    %10 = aten::permute(%8, dims=[0, 3, 1, 2])
    %11 = aten::permute(%9, dims=[0, 2, 1])
    return %10, %11
  })");
  EXPECT_EQ(out, R"(graph(%x: f32[?, 4, 8, 8]) {
  %1 = aten::relu(%x)
  %2 = aten::cat([%x, %1], dim=1)
  %3 = aten::slice.Tensor(%2, dim=2, start=0, end=4)
  %4 = aten::flip(%3, dims=[3])
  %5 = aten::mean.dim(%4, dim=[1], keepdim=true)
  %6 = aten::mean.dim(%4, dim=[2])
  return %5, %6
}
)");
}

TEST(CancelPermutes, BranchesGiveTheirPermuteAway) {
  const std::string out = run(R"(graph(%x: f32[?, 8, 8, 4]) {
    %w = variable "w" f32[4, 4, 1, 1]
    %training = training
    %1 = aten::permute(%x, dims=[0, 3, 1, 2])
    %2 = aten::conv2d(%1, %w)
    %3 = aten::permute(%2, dims=[0, 2, 3, 1])
    %6 = if(%training) {
      %4 = aten::permute(%3, dims=[0, 3, 1, 2])
      %5 = aten::conv2d(%4, %w)
      %7 = aten::permute(%5, dims=[0, 2, 3, 1])
      yield %7
    } else {
      yield %3
    }
    %8 = aten::permute(%6, dims=[0, 3, 1, 2])
    %9 = aten::conv2d(%8, %w)
    return %9
  })");
  EXPECT_EQ(out, R"(graph(%x: f32[?, 8, 8, 4]) {
  %w = variable "w" f32[4, 4, 1, 1]
  %training = training
  %1 = aten::permute(%x, dims=[0, 3, 1, 2])
  %2 = aten::conv2d(%1, %w)
  %4 = if(%training) {
    %3 = aten::conv2d(%2, %w)
    yield %3
  } else {
    yield %2
  }
  %5 = aten::conv2d(%4, %w)
  return %5
}
)");
}

TEST(CancelPermutes, RandomOperatorsKeepTheOrderOfTheirElements) {
  const std::string out = run(R"(graph(%x: f32[?, 4, 3]) {
    %1 = aten::permute(%x, dims=[0, 2, 1])
    %2 = aten::bernoulli(%1)
    %3 = aten::permute(%2, dims=[0, 2, 1])
    return %3
  })");
  EXPECT_EQ(count(out, "aten::permute"), 2u);
}

TEST(CancelPermutes, OriginsStay) {
  const std::string out = run(R"(graph(%x: f32[?, 4, 3]) {
    %1 = aten::permute(%x, dims=[0, 2, 1])  # a, keras.Permute
    %2 = aten::relu(%1)  # b, keras.ReLU
    return %2
  })");
  EXPECT_EQ(out, R"(graph(%x: f32[?, 4, 3]) {
  %1 = aten::relu(%x)  # b, keras.ReLU
  %2 = aten::permute(%1, dims=[0, 2, 1])  # b, keras.ReLU
  return %2
}
)");
}

}  // namespace
}  // namespace midstream
