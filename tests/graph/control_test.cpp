// Regions: branches join their types, loops widen what they carry and drop what they do not change.
#include <gtest/gtest.h>

#include "fake_dialect.h"
#include "graph/builder.h"

namespace midstream {
namespace {

class ControlTest : public testing::Test {
 protected:
  Graph g{std::make_shared<Variables>()};
  Builder b{g, fake_dialect()};

  std::string text(const Values& results) {
    std::vector<Output> outputs;
    for (Value v : results) outputs.push_back({"", v});
    b.outputs(outputs);
    verify(g, &fake_dialect());
    const std::string once = print(g, &fake_dialect());
    EXPECT_EQ(print(*parse_graph(once, fake_dialect()), &fake_dialect()), once);
    return once;
  }
  Value less(Value a, const Int& n) { return b.call("midstream::int_lt", {{"a", a}, {"b", n}}); }
};

TEST_F(ControlTest, BranchesJoinTheirTypes) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {4, 3}});
  Values out = b.cond(
      b.training(), [&] { return Values{b.neg(x), b.slice(x, 0, 0, 2), x}; },
      [&] { return Values{x, b.slice(x, 0, 0, 3), x}; });
  EXPECT_EQ(to_string(b.type(out[0])), "f32[4, 3]");
  EXPECT_EQ(to_string(b.type(out[1])), "f32[?, 3]");
  EXPECT_EQ(out[2], x);
  EXPECT_EQ(text(out),
            "graph(%x: f32[4, 3]) {\n"
            "  %training = training\n"
            "  %4, %5 = if(%training) {\n"
            "    %1 = aten::neg(%x)\n"
            "    %2 = aten::slice.Tensor(%x, start=0, end=2)\n"
            "    yield %1, %2\n"
            "  } else {\n"
            "    %3 = aten::slice.Tensor(%x, start=0, end=3)\n"
            "    yield %x, %3\n"
            "  }\n"
            "  return %4, %5, %x\n"
            "}\n");
  EXPECT_THROW(
      b.cond(b.training(), [&] { return Values{x}; }, [&] { return Values{b.cast(x, DType::Float64)}; }), Error);
  EXPECT_THROW(b.cond(x, [&] { return Values{}; }, [&] { return Values{}; }), Error);
}

TEST_F(ControlTest, AConstantPredicateTakesItsBranchAtOnce) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {4}});
  EXPECT_EQ(b.cond(b.host_bool(false), [&] { return Values{b.neg(x)}; }, [&] { return Values{x}; }), Values{x});
  EXPECT_TRUE(g.body.nodes.empty());
}

TEST_F(ControlTest, LoopsWidenWhatTheyChangeAndDropWhatTheyDoNot) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {1, 3}});
  Value w = b.input("w", {Kind::Tensor, DType::Float32, {1, 3}});
  int built = 0;
  Values out = b.while_loop(
      {b.value_of(0), x, w}, [&](const Values& v) { return less(v[0], 5); },
      [&](const Values& v) {
        ++built;
        return Values{(Int(b, v[0]) + 1).value(), b.concat({v[1], v[2]}, 0), v[2]};
      });
  EXPECT_EQ(built, 2);
  EXPECT_EQ(to_string(b.type(out[1])), "f32[?, 3]");
  EXPECT_EQ(out[2], w);
  EXPECT_EQ(text(out),
            "graph(%x: f32[1, 3], %w: f32[1, 3]) {\n"
            "  %1 = constant int 0\n"
            "  %9, %10 = while(%2: int(0, 1) = %1, %3: f32[?(1, 2), 3] = %x) {\n"
            "    %4 = midstream::int_lt(%2, b=5)\n"
            "    yield %4\n"
            "  } do(%5, %6) {\n"
            "    %7 = midstream::int_add(%5, b=1)\n"
            "    %8 = aten::cat([%6, %w])\n"
            "    yield %7, %8\n"
            "  }\n"
            "  return %9, %10, %w\n"
            "}\n");
}

TEST_F(ControlTest, ListsGrowInLoops) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {7, 3}});
  Value list = b.call("midstream::list_reserve", {{"n", 0}});
  Values out = b.while_loop(
      {b.value_of(0), list}, [&](const Values& v) { return less(v[0], 7); },
      [&](const Values& v) {
        Value row = b.select(x, 0, Int(b, v[0]));
        return Values{(Int(b, v[0]) + 1).value(), b.call("midstream::list_push", {{"l", v[1]}, {"x", row}})};
      });
  EXPECT_EQ(to_string(b.type(out[1])), "list(f32[3])");
  Value stacked = b.call("midstream::list_stack", {{"l", out[1]}});
  EXPECT_EQ(to_string(b.type(stacked)), "f32[?, 3]");
  text({stacked});
}

TEST_F(ControlTest, ASequenceOfOneStepHasNoSecondRound) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {1, 3}});
  Value zero = b.input("h", {Kind::Tensor, DType::Float32, {3}});
  Values out = b.while_loop(
      {b.value_of(0), zero}, [&](const Values& v) { return less(v[0], 1); },
      [&](const Values& v) { return Values{(Int(b, v[0]) + 1).value(), b.add(v[1], b.select(x, 0, Int(b, v[0])))}; });
  EXPECT_EQ(to_string(b.type(out[1])), "f32[3]");
  text(out);
}

TEST_F(ControlTest, WhatALoopCannotCarryIsRefused) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {2, 3}});
  auto loop = [&](const std::function<Value(Value)>& body) {
    b.while_loop(
        {b.value_of(0), x}, [&](const Values& v) { return less(v[0], 5); },
        [&](const Values& v) { return Values{(Int(b, v[0]) + 1).value(), body(v[1])}; });
  };
  try {
    Builder::At here(b, {"rnn/while", "tf.While", 0});
    loop([&](Value v) { return b.reshape(v, {6}); });
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "[rnn/while, tf.While] a loop changes the type of a value that it carries: f32[2, 3] and f32[6].");
  }
  EXPECT_THROW(loop([&](Value v) { return b.cast(v, DType::Float64); }), Error);
}

TEST_F(ControlTest, RegionsNest) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {kUnknown}});
  Values out = b.while_loop(
      {b.value_of(0), x}, [&](const Values& v) { return less(v[0], 5); },
      [&](const Values& v) {
        Values y = b.cond(
            b.training(), [&] { return Values{b.neg(v[1])}; },
            [&] { return Values{b.call("aten::relu", {{"self", v[1]}})}; });
        return Values{(Int(b, v[0]) + 1).value(), y[0]};
      });
  text(out);
  auto copy = g.clone();
  verify(*copy, &fake_dialect());
  EXPECT_EQ(print(*copy), print(g));
  EXPECT_NE(copy->serial, g.serial);
}

}  // namespace
}  // namespace midstream
