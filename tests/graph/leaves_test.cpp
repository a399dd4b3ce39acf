// In which layout a variable is stored, and what its other readers see then.
#include <gtest/gtest.h>

#include "fake_dialect.h"
#include "graph/builder.h"

namespace midstream {
namespace {

const Transforms kToOihw{Permute{{3, 2, 0, 1}}};

class LeavesTest : public testing::Test {
 protected:
  LeavesTest() {
    variables->add({.name = "conv/kernel", .source_dims = {3, 3, 4, 2}, .trainable = true});
    variables->add({.name = "table", .source_dims = {10, 4}, .trainable = true});
  }
  std::string text(Graph& g, Builder& b, Values results) {
    std::vector<Output> outputs;
    for (Value v : results) outputs.push_back({"", v});
    b.outputs(outputs);
    verify(g, &fake_dialect());
    const std::string once = print(g, &fake_dialect());
    EXPECT_EQ(print(*parse_graph(once, fake_dialect()), &fake_dialect()), once);
    return once;
  }

  std::shared_ptr<Variables> variables = std::make_shared<Variables>();
};

TEST_F(LeavesTest, AVariableIsStoredAsItsFirstUserWants) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value w_hwio = b.variable("conv/kernel");
  EXPECT_EQ(b.variable("conv/kernel"), w_hwio);
  Value w_oihw = b.stored_as(w_hwio, kToOihw);
  EXPECT_EQ(b.dims(w_oihw), (Dims{2, 4, 3, 3}));
  EXPECT_EQ(variables->find("conv/kernel")->stored_as, kToOihw);
  EXPECT_EQ(b.stored("conv/kernel"), w_oihw);
  EXPECT_EQ(b.stored_as(w_hwio, kToOihw), w_oihw);
  EXPECT_EQ(text(g, b, {w_oihw}),
            "graph() {\n"
            "  %kernel = variable \"conv/kernel\" f32[3, 3, 4, 2] trainable stored_as permute(3, 2, 0, 1)\n"
            "  %1 = aten::permute(%kernel, dims=[2, 3, 1, 0])\n"
            "  return %kernel\n"
            "}\n");
}

TEST_F(LeavesTest, WhoHoldsTheSourceLayoutAlreadyGetsAView) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value w_hwio = b.variable("conv/kernel");
  Value penalty = b.mul(w_hwio, w_hwio);  // a regularizer, before the convolution
  Value w_oihw = b.stored_as(w_hwio, kToOihw);
  EXPECT_EQ(b.dims(w_hwio), (Dims{3, 3, 4, 2}));
  EXPECT_EQ(text(g, b, {penalty, b.neg(w_oihw)}),
            "graph() {\n"
            "  %kernel = variable \"conv/kernel\" f32[3, 3, 4, 2] trainable stored_as permute(3, 2, 0, 1)\n"
            "  %1 = aten::permute(%kernel, dims=[2, 3, 1, 0])\n"
            "  %2 = aten::mul.Tensor(%1, %1)\n"
            "  %3 = aten::neg(%kernel)\n"
            "  return %2, %3\n"
            "}\n");
}

TEST_F(LeavesTest, ASecondLayoutIsAView) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value table = b.variable("table");
  Value first = b.stored_as(table, {Permute{{1, 0}}});
  Value other = b.stored_as(table, {Flip{{0}}});
  EXPECT_EQ(b.dims(first), (Dims{4, 10}));
  EXPECT_EQ(b.dims(other), (Dims{10, 4}));
  EXPECT_NE(first, other);
  text(g, b, {first, other});
}

TEST_F(LeavesTest, GraphsShareALayout) {
  Graph predict(variables), train(variables), late(variables);
  Builder p(predict, fake_dialect()), t(train, fake_dialect()), l(late, fake_dialect());
  p.stored_as(p.variable("conv/kernel"), kToOihw);
  Value raw = t.variable("conv/kernel");
  Value same = t.stored_as(raw, kToOihw);
  EXPECT_EQ(t.dims(raw), (Dims{3, 3, 4, 2}));
  EXPECT_EQ(t.type(same).dims, (Dims{2, 4, 3, 3}));
  text(train, t, {raw, same});
  // `predict` holds the table as it is: `late` may not change it any more.
  p.variable("table");
  Value permuted = l.stored_as(l.variable("table"), {Permute{{1, 0}}});
  EXPECT_TRUE(variables->find("table")->stored_as.empty());
  EXPECT_EQ(l.dims(permuted), (Dims{4, 10}));
  text(late, l, {permuted});
}

TEST_F(LeavesTest, OptimizersSeeTheStoredLayoutForGood) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  b.stored("table");
  Value permuted = b.stored_as(b.variable("table"), {Permute{{1, 0}}});
  EXPECT_TRUE(variables->find("table")->stored_as.empty());
  text(g, b, {permuted});
}

TEST_F(LeavesTest, TheCastOfAWeightIsRearrangedByRearrangingTheWeight) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value w = b.cast(b.variable("conv/kernel"), DType::BFloat16);
  Value w_oihw = b.stored_as(w, kToOihw);
  EXPECT_EQ(variables->find("conv/kernel")->stored_as, kToOihw);
  EXPECT_EQ(to_string(b.type(w_oihw)), "bf16[2, 4, 3, 3]");
  text(g, b, {w_oihw});
}

TEST_F(LeavesTest, ConstantsAreRearrangedAtOnce) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value c = b.constant(Array::of(DType::Float32, {2, 2}, std::vector<float>{1, 2, 3, 4}));
  Value permuted = b.stored_as(c, {Permute{{1, 0}}});
  EXPECT_TRUE(g.body.nodes.empty());
  EXPECT_EQ(g.constants[static_cast<size_t>(g.info(permuted).index)].copy<float>(), (std::vector<float>{1, 3, 2, 4}));
}

TEST_F(LeavesTest, AComputedValueIsRearrangedInTheGraph) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {6, 4}});
  Value y = b.stored_as(x, {Reshape{{6, 4}, {2, 3, 4}}, Permute{{1, 0, 2}}, Blocks{2, {1, 0}}, Flip{{0}}});
  EXPECT_EQ(b.dims(y), (Dims{3, 2, 4}));
  text(g, b, {y});
}

TEST_F(LeavesTest, AssignmentsTakeEitherLayout) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value w_hwio = b.variable("conv/kernel");
  Value w_oihw = b.stored_as(w_hwio, kToOihw);
  b.assign(w_hwio, b.neg(w_hwio));
  b.assign(w_oihw, b.neg(w_oihw));
  const std::string all = text(g, b, {});
  EXPECT_NE(all.find("%2 = aten::neg(%1)\n  %3 = aten::permute(%2, dims=[3, 2, 0, 1])\n  assign %kernel = %3"),
            std::string::npos)
      << all;
  EXPECT_THROW(b.assign(w_oihw, w_hwio), Error);
}

TEST_F(LeavesTest, AnAssignedVariableKeepsItsLayout) {
  Graph g(variables);
  Builder b(g, fake_dialect());
  Value table = b.variable("table");
  b.assign(table, b.neg(table));
  Value permuted = b.stored_as(table, {Permute{{1, 0}}});
  EXPECT_TRUE(variables->find("table")->stored_as.empty());
  text(g, b, {permuted});
}

}  // namespace
}  // namespace midstream
