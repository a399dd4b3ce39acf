// Each pass on text, before and after; every pass is idempotent and leaves a graph that verifies.
#include <gtest/gtest.h>

#include "../graph/fake_dialect.h"
#include "base/error.h"
#include "passes/pass_manager.h"

namespace midstream {
namespace {

std::string lines(std::initializer_list<const char*> list) {
  std::string text;
  for (const char* line : list) text += std::string(line) + "\n";
  return text;
}

// What one pass makes of the text (dce included), or the whole pipeline.
std::string after(const std::vector<Pass>& passes, const std::string& text, std::optional<bool> training = {}) {
  auto graph = parse_graph(text, fake_dialect());
  verify(*graph, &fake_dialect());
  run_pass_list(*graph, fake_dialect(), passes, {.training = training, .verify = true});
  const std::string once = print(*graph, &fake_dialect());
  EXPECT_FALSE(run_pass_list(*graph, fake_dialect(), passes, {.verify = true})) << once;
  EXPECT_EQ(print(*graph, &fake_dialect()), once);
  EXPECT_EQ(print(*parse_graph(once, fake_dialect()), &fake_dialect()), once);
  return once;
}

TEST(Dce, KeepsWhatIsUsedAndWhatHasAnEffect) {
  EXPECT_EQ(after({}, R"(graph(%x: f32[4], %p: bool) {
              %w = variable "w" f32[4]
              %1 = aten::neg(%x)
              %2 = aten::relu(%x)
              %5, %6 = if(%p) {
                %3 = aten::neg(%2)
                %4 = aten::relu(%3)
                assign %w = %x
                yield %3, %4
              } else {
                yield %x, %x
              }
              return %5
            })"),
            lines({"graph(%x: f32[4], %p: bool) {", "  %w = variable \"w\" f32[4]", "  %1 = aten::relu(%x)",
                   "  %3 = if(%p) {", "    %2 = aten::neg(%1)", "    assign %w = %x", "    yield %2", "  } else {",
                   "    yield %x", "  }", "  return %3", "}"}));
}

TEST(Dce, ALoopCarriesOnlyWhatIsNeeded) {
  EXPECT_EQ(after({}, R"(graph(%x: f32[4], %y: f32[4]) {
              %0 = constant int 0
              %9, %10, %11 = while(%i: int(0, 1) = %0, %a: f32[4] = %x, %b: f32[4] = %y) {
                %1 = midstream::int_lt(%i, b=5)
                yield %1
              } do(%j, %c, %d) {
                %2 = midstream::int_add(%j, b=1)
                %3 = aten::neg(%c)
                %4 = aten::neg(%d)
                yield %2, %3, %4
              }
              return %10
            })"),
            lines({"graph(%x: f32[4], %y: f32[4]) {", "  %1 = constant int 0",
                   "  %5, %6 = while(%i: int(0, 1) = %1, %a: f32[4] = %x) {", "    %2 = midstream::int_lt(%i, b=5)",
                   "    yield %2", "  } do(%j, %c) {", "    %3 = midstream::int_add(%j, b=1)", "    %4 = aten::neg(%c)",
                   "    yield %3, %4", "  }", "  return %6", "}"}));
}

const char* const kDropout = R"(graph(%x: f32[4]) {
  %training = training
  %2 = if(%training) {
    %1 = aten::bernoulli(%x)
    yield %1
  } else {
    yield %x
  }
  %3 = aten::neg(%2)
  return %3
})";

TEST(SpecializeTraining, TakesOneMode) {
  EXPECT_EQ(after(pipeline(), kDropout, false),
            lines({"graph(%x: f32[4]) {", "  %1 = aten::neg(%x)", "  return %1", "}"}));
  EXPECT_EQ(after(pipeline(), kDropout, true),
            lines({"graph(%x: f32[4]) {", "  %1 = aten::bernoulli(%x)", "  %2 = aten::neg(%1)", "  return %2", "}"}));
}

TEST(FoldRegions, TypesAreKnownBetterAfterwards) {
  EXPECT_EQ(after(pipeline(), R"(graph(%x: f32[4, 6]) {
              %training = training
              %1 = if(%training) {
                %2 = aten::slice.Tensor(%x, start=0, end=2)
                yield %2
              } else {
                yield %x
              }
              %3 = aten::sym_size.int(%1, dim=0)
              %4 = midstream::int_mul(%3, b=6)
              %5 = aten::reshape(%1, shape=[%4])
              return %5
            })",
                  false),
            lines({"graph(%x: f32[4, 6]) {", "  %1 = aten::reshape(%x, shape=[24])", "  return %1", "}"}));
}

TEST(FoldInts, ConstantsAndTheWayThroughATensor) {
  EXPECT_EQ(after({{"fold_ints", fold_ints}}, R"(graph(%x: f32[?, 6], %p: bool) {
              %c = constant int 2
              %t = constant bool true
              %1 = aten::sym_size.int(%x, dim=1)
              %2 = midstream::int_add(%1, %c)
              %3 = aten::sym_size.int(%x, dim=0)
              %4 = midstream::int_to_tensor(%3)
              %5 = midstream::tensor_to_int(%4)
              %6 = midstream::int_to_tensor(%2)
              %7 = midstream::tensor_to_int(%6)
              %8 = aten::reshape(%x, shape=[%5, %c, 3])
              %9 = aten::scale(%x, factor=2.0, twice=%t)
              return %7, %8, %9
            })"),
            lines({"graph(%x: f32[?, 6], %p: bool) {", "  %1 = constant int 8", "  %2 = aten::sym_size.int(%x, dim=0)",
                   "  %3 = aten::reshape(%x, shape=[%2, 2, 3])", "  %4 = aten::scale(%x, factor=2.0, twice=true)",
                   "  return %1, %3, %4", "}"}));
}

TEST(FoldInts, ALiteralEqualToTheDefaultIsLeftOut) {
  EXPECT_EQ(after({{"fold_ints", fold_ints}}, R"(graph(%x: f32[2]) {
              %f = constant bool false
              %1 = aten::scale(%x, factor=2.0, twice=%f)
              return %1
            })"),
            lines({"graph(%x: f32[2]) {", "  %1 = aten::scale(%x, factor=2.0)", "  return %1", "}"}));
}

TEST(Cse, JoinsEqualCallsButNeverRandomOnes) {
  EXPECT_EQ(after({{"cse", cse}}, R"(graph(%x: f32[2], %p: bool) {
              %a = constant f32[] [2.0]
              %b = constant f32[] [2.0]
              %1 = aten::mul.Tensor(%x, %a)
              %2 = aten::mul.Tensor(%x, %b)
              %3 = aten::bernoulli(%1)
              %4 = aten::bernoulli(%2)
              %7 = if(%p) {
                %5 = aten::mul.Tensor(%x, %b)
                %6 = aten::neg(%5)
                yield %6
              } else {
                %8 = aten::neg(%2)
                yield %8
              }
              return %3, %4, %7
            })"),
            lines({"graph(%x: f32[2], %p: bool) {", "  %a = constant f32[] [2.0]", "  %1 = aten::mul.Tensor(%x, %a)",
                   "  %2 = aten::bernoulli(%1)", "  %3 = aten::bernoulli(%1)", "  %6 = if(%p) {",
                   "    %4 = aten::neg(%1)", "    yield %4", "  } else {", "    %5 = aten::neg(%1)", "    yield %5",
                   "  }", "  return %2, %3, %6", "}"}));
}

TEST(PassManager, NamesThePassThatBrokeTheGraph) {
  auto graph = parse_graph(kDropout, fake_dialect());
  std::vector<std::string> seen;
  run_passes(*graph, fake_dialect(),
             {.training = true, .after = [&](const std::string& pass, const Graph&) { seen.push_back(pass); }});
  EXPECT_EQ(seen.front(), "specialize_training");
  EXPECT_EQ(seen.size(), pipeline().size() + 1);
  try {
    run_pass_list(*graph, fake_dialect(),
                  {{"vandal",
                    [](Graph& g, const Dialect&) {
                      g.outputs.clear();
                      return true;
                    }}},
                  {.verify = true});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "[after pass vandal: graph] outputs and results differ in number.");
  }
}

}  // namespace
}  // namespace midstream
