// The text IR is read back as it was written, and says where it is wrong.
#include <gtest/gtest.h>

#include "base/error.h"
#include "fake_dialect.h"
#include "graph/builder.h"

namespace midstream {
namespace {

const char* const kText =
    R"(graph "model" sample_sizes 64, 96 (%x: f32[?, 9, 11, 4], %input_1_0 "input-1:0": i64[?(2, 3), ?]) {
  scope "block3" "keras.Sequential"
  %kernel = variable "block3/dw/kernel" f32[3, 2, 4, 1] trainable source "h5:/dw/kernel:0" stored_as permute(2, 3, 0, 1)
  %kernel_1 = variable "other/kernel" f32[4]
  %momentum = variable "optimizer/kernel/momentum" f32[4] role slot
  %training = training
  %scale = constant f32[2] [0.1, -inf]
  %1 = constant f16[2] bits [15360, 0]
  %2 = constant i64[] [-5]
  %3 = constant f32[100, 2] ...
  %4 = constant str[2] ["a \"b\"", "c\n"]
  %5 = constant bool true
  %6 = aten::permute(%x, dims=[0, 3, 1, 2])  # block3/dw, keras.DepthwiseConv2D
  %7 = aten::constant_pad_nd(%6, pad=[0, 1, 1, 1], value=-1.5)  # block3/dw (call 2), keras.DepthwiseConv2D
  %8 = aten::conv2d(%7, %kernel, groups=4)
  %9 = aten::to.dtype(%8, dtype=f64, copy=true)
  [%10, %11] = aten::unbind.int(%scale)
  %12 = aten::sym_size.int(%x, dim=0)
  %13 = aten::reshape(%x, shape=[%12, 396])
  %14 = aten::add.Tensor(%10, %11, alpha=2.0)
  assign %kernel_1 = %momentum
  assign %momentum = %kernel_1  # optimizer, keras.SGD
  return logits=%9, "a b"=%13, %14, %training, %input_1_0, %1, %2, %3, %4, %5
}
)";

TEST(Text, IsReadBackAsItWasWritten) {
  auto graph = parse_graph(kText, fake_dialect());
  verify(*graph, &fake_dialect());
  EXPECT_EQ(print(*graph, &fake_dialect()), kText);
  EXPECT_EQ(graph->inputs[1].name, "input-1:0");
  EXPECT_EQ(graph->outputs[1].name, "a b");
  EXPECT_EQ(graph->variables->find("block3/dw/kernel")->stored_as, (Transforms{Permute{{2, 3, 0, 1}}}));
  EXPECT_EQ(graph->variables->find("optimizer/kernel/momentum")->role, Role::Slot);
  EXPECT_EQ(graph->origin(*graph->body.nodes[1]).call, 1);
}

TEST(Text, WithoutADialectEveryArgumentHasItsKeyword) {
  auto graph = parse_graph(kText, fake_dialect());
  const std::string text = print(*graph);
  EXPECT_NE(text.find("aten::conv2d(input=%7, weight=%kernel, groups=4)"), std::string::npos);
  EXPECT_NE(text.find("%6 = aten::permute(self=%x, dims=[0, 3, 1, 2])"), std::string::npos);
  EXPECT_EQ(print(*parse_graph(text, fake_dialect())), text);
}

TEST(Text, DoesNotDependOnWhatWasThrownAway) {
  Graph g(std::make_shared<Variables>());
  Builder b(g, fake_dialect());
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {2}});
  b.neg(x);
  Value y = b.neg(x);
  g.body.nodes.erase(g.body.nodes.begin());
  b.outputs({{"y", y}});
  EXPECT_EQ(print(g, &fake_dialect()), "graph(%x: f32[2]) {\n  %1 = aten::neg(%x)\n  return y=%1\n}\n");
}

std::string error(const std::string& text) {
  try {
    parse_graph(text, fake_dialect());
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Text, SaysWhereItIsWrong) {
  EXPECT_EQ(error("graph(%x: f32[2]) {\n  %1 = aten::neg(%y)\n  return %1\n}"),
            "[line 2] %y is used before it is defined.");
  EXPECT_EQ(error("graph(%x: f32[2]) {\n  %1 = aten::nope(%x)\n  return %1\n}"),
            "[line 2] there is no operator aten::nope.");
  EXPECT_EQ(error("graph(%x: f32[2]) {\n  %x = aten::neg(%x)\n  return %x\n}"), "[line 2] %x is defined twice.");
  EXPECT_EQ(error("graph(%x: q9[2]) {\n  return %x\n}"), "[line 1] 'q9' is no type.");
  EXPECT_EQ(error("graph(%x: f32[2]) {\n  return %x\n} and"), "[line 3] the graph has ended, but the text has not.");
  EXPECT_EQ(error("graph(%x: f32[2]) {\n  %1, %2 = aten::neg(%x)\n  return %x\n}"),
            "[line 2] aten::neg gives 1 values, not 2.");
  EXPECT_EQ(error(""), "[line 1] 'graph' was expected before 'the end'.");
}

// Whatever is cut off or changed, parsing ends with an Error or a graph.
TEST(Text, SurvivesMutilation) {
  const std::string whole = kText;
  for (size_t cut = 0; cut < whole.size(); cut += 3) error(whole.substr(0, cut));
  for (size_t at = 0; at < whole.size(); at += 2)
    for (char c : {'%', '[', '"', '9', ' '}) {
      std::string changed = whole;
      changed[at] = c;
      error(changed);
    }
}

}  // namespace
}  // namespace midstream
