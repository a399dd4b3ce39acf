// Each invariant, broken once.
#include <gtest/gtest.h>

#include "base/error.h"
#include "fake_dialect.h"
#include "graph/builder.h"

namespace midstream {
namespace {

class VerifyTest : public testing::Test {
 protected:
  VerifyTest() {
    g = parse_graph(R"(graph(%x: f32[?, 4], %p: bool) {
      %w = variable "w" f32[4]
      %1 = aten::add.Tensor(%x, %w)
      %2 = aten::neg(%1)
      %4 = if(%p) {
        %3 = aten::relu(%2)
        yield %3
      } else {
        yield %2
      }
      assign %w = %w
      return %4
    })",
                    fake_dialect());
  }
  Node& node(size_t i) { return *g->body.nodes[i]; }
  std::string broken() {
    try {
      verify(*g, &fake_dialect());
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Internal);
      return e.message();
    }
    return "no error";
  }

  std::unique_ptr<Graph> g;
};

TEST_F(VerifyTest, AGoodGraphPasses) { EXPECT_EQ(broken(), "no error"); }

TEST_F(VerifyTest, ValuesAreDefinedOnceAndBeforeUse) {
  std::swap(g->body.nodes[0], g->body.nodes[1]);
  EXPECT_NE(broken().find("used before it is defined"), std::string::npos);
  std::swap(g->body.nodes[0], g->body.nodes[1]);
  node(1).outputs = node(0).outputs;
  EXPECT_NE(broken().find("defined twice"), std::string::npos);
}

TEST_F(VerifyTest, ABlocksValuesStayInside) {
  const Value inner = node(2).blocks[0].nodes[0]->outputs[0];
  g->body.results = {inner};
  g->outputs[0].value = inner;
  EXPECT_NE(broken().find("used before it is defined"), std::string::npos);
}

TEST_F(VerifyTest, ResultsAreWhatWasPromised) {
  g->info(node(2).outputs[0]).type.dims = {kUnknown, 5};
  EXPECT_EQ(broken(), "a block's result is f32[?, 4] where f32[?, 5] is due.");
  g->info(node(2).outputs[0]).type.dims = {kUnknown, 4};
  g->info(node(1).outputs[0]).type.dims = {7, 4};
  EXPECT_EQ(broken(), "a result is f32[?, 4] where f32[7, 4] is due.");
}

TEST_F(VerifyTest, OnlyVariablesAreAssigned) {
  node(3).args[0].value = node(0).outputs[0];
  EXPECT_EQ(broken(), "something else than a variable is assigned.");
}

TEST_F(VerifyTest, ArgumentsFitTheSchema) {
  node(1).args.push_back({"alpha", 1});
  EXPECT_EQ(broken(), "aten::neg has no argument 'alpha'; it takes self.");
  node(1).args.pop_back();
  node(0).args.push_back({"alpha", 1});
  EXPECT_EQ(broken(), "arguments equal to their defaults are kept.");
  std::swap(node(0).args[0], node(0).args[1]);
  node(0).args.pop_back();
  EXPECT_EQ(broken(), "argument 'other' is not in the schema's order or form.");
}

TEST_F(VerifyTest, OutputsAreTheBodysResults) {
  g->outputs.push_back({"again", g->outputs[0].value});
  EXPECT_EQ(broken(), "outputs and results differ in number.");
}

}  // namespace
}  // namespace midstream
