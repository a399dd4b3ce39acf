// The Builder: what it checks before PyTorch is asked, how it infers types by example, and what it leaves out.
#include "graph/builder.h"

#include <gtest/gtest.h>

#include "fake_dialect.h"

namespace midstream {
namespace {

const Type kImage{Kind::Tensor, DType::Float32, {kUnknown, 9, 11, 4}};

class BuilderTest : public testing::Test {
 protected:
  Graph g{std::make_shared<Variables>()};
  Builder b{g, fake_dialect()};

  // The message of the error that `f` throws.
  template <class F>
  std::string error(F&& f) {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }
  void verified(const Values& results) {
    std::vector<Output> outputs;
    for (Value v : results) outputs.push_back({"", v});
    b.outputs(outputs);
    verify(g, &fake_dialect());
    const std::string once = print(g, &fake_dialect());
    EXPECT_EQ(print(*parse_graph(once, fake_dialect()), &fake_dialect()), once);
  }
};

TEST_F(BuilderTest, CallsAreOrderedAndDefaultsLeftOut) {
  Value x = b.input("x", kImage);
  Value w = b.constant(Array::of(DType::Float32, {2, 4, 3, 3}, std::vector<float>(72)));
  Value y =
      b.call("aten::conv2d", {{"groups", 1}, {"padding", 1}, {"weight", w}, {"input", b.permute(x, {0, 3, 1, 2})}});
  EXPECT_EQ(to_string(b.type(y)), "f32[?, 2, 9, 11]");
  const Node& conv = *g.body.nodes.back();
  ASSERT_EQ(conv.args.size(), 3u);
  EXPECT_EQ(conv.args[0].name, "input");
  EXPECT_EQ(conv.args[2].name, "padding");
  EXPECT_EQ(std::get<std::vector<IntArg>>(conv.args[2].value.variant()), (std::vector<IntArg>{1, 1}));
  verified({y});
}

TEST_F(BuilderTest, WrongArgumentsAreRefusedInOurWords) {
  Builder::At here(b, {"block1/conv", "keras.Conv2D", 0});
  Value x = b.input("x", kImage);
  EXPECT_EQ(error([&] { b.call("aten::relu", {{"input", x}}); }),
            "[block1/conv, keras.Conv2D] aten::relu has no argument 'input'; it takes self.");
  EXPECT_EQ(error([&] { b.call("aten::add.Tensor", {{"self", x}}); }),
            "[block1/conv, keras.Conv2D] aten::add.Tensor needs the argument 'other' (Tensor).");
  EXPECT_EQ(error([&] { b.call("aten::permute", {{"self", x}, {"dims", "NHWC"}}); }),
            "[block1/conv, keras.Conv2D] aten::permute wants int[] for 'dims', not 'NHWC'.");
  EXPECT_EQ(error([&] { b.call("aten::add.Tensor", {{"self", x}, {"other", 2.0}}); }),
            "[block1/conv, keras.Conv2D] aten::add.Tensor wants Tensor for 'other', not 2.000000.");
  EXPECT_EQ(error([&] { b.call("aten::relu", {{"self", x}, {"self", x}}); }),
            "[block1/conv, keras.Conv2D] aten::relu was given 'self' twice.");
  EXPECT_EQ(error([&] { b.call("aten::permute", {{"self", x}, {"dims", Dims{1, 0}}}); }),
            "[block1/conv, keras.Conv2D] aten::permute(self=f32[?, 9, 11, 4], dims=[1, 0]) is not possible: permute of "
            "the wrong rank.");
  EXPECT_EQ(error([&] { b.add(x, b.cast(x, DType::Float64)); }),
            "[block1/conv, keras.Conv2D] aten::add of f32[?, 9, 11, 4] and f64[?, 9, 11, 4]: the number types differ. "
            "Cast one of them.");
}

TEST_F(BuilderTest, NumbersAreCoercedToTheSchema) {
  Value x = b.input("x", {Kind::Tensor, DType::Int32, {kUnknown}});
  b.call("aten::scale", {{"self", x}, {"factor", 2}});
  EXPECT_EQ(std::get<double>(g.body.nodes.back()->args[1].value.variant()), 2.0);
  b.mul(x, 3.0);  // an integer for an integer tensor
  EXPECT_EQ(std::get<int64_t>(g.body.nodes.back()->args[1].value.variant()), 3);
  Value scaled = b.call("aten::mul.Scalar", {{"self", x}, {"other", b.size(x, 0)}});  // a size as Scalar
  verified({scaled});
}

TEST_F(BuilderTest, SizesAreConstantsWhereKnownAndValuesElsewhere) {
  Value x = b.input("x", kImage);
  EXPECT_EQ(b.size(x, 3).constant(), 4);
  EXPECT_EQ(b.size(x, -2).constant(), 11);
  Int n = b.size(x, 0);
  EXPECT_FALSE(n.is_constant());
  EXPECT_THROW(n.constant(), Error);
  EXPECT_EQ((b.size(x, 1) * 2 + 1).constant(), 19);
  EXPECT_EQ(floor_div(-7, 2).constant(), -4);
  EXPECT_EQ(mod(-7, 2).constant(), 1);
  EXPECT_EQ(ceil_div(7, 2).constant(), 4);
  EXPECT_EQ((n * 1 + 0).value(), n.value());
  EXPECT_EQ((n - n).constant(), 0);
  Value flat = b.reshape(x, {n, 9 * 11 * 4});
  EXPECT_EQ(to_string(b.type(flat)), "f32[?, 396]");
  Value doubled = b.reshape(x, {n * 2, 198});
  EXPECT_EQ(to_string(b.type(doubled)), "f32[?, 198]");
  EXPECT_NE(b.reshape(flat, b.sizes(flat)), flat);  // a dynamic shape stays a call
  verified({flat, doubled, b.tensor_of(n), b.tensor_of(Ints{n, 3})});
}

TEST_F(BuilderTest, ListsOfKnownLengthAreUnpacked) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {kUnknown, 3}});
  Values parts = b.call_all("aten::unbind.int", {{"self", x}, {"dim", 1}});
  EXPECT_EQ(parts.size(), 3u);
  EXPECT_TRUE(g.body.nodes.back()->unpacks_list);
  EXPECT_EQ(error([&] { b.call_all("aten::unbind.int", {{"self", x}}); }),
            "aten::unbind.int gives a number of tensors that depends on an unknown size.");
  verified(parts);
}

TEST_F(BuilderTest, SugarDoesNothingWhereNothingIsToDo) {
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {2, 3}});
  EXPECT_EQ(b.cast(x, DType::Float32), x);
  EXPECT_EQ(b.permute(x, {0, 1}), x);
  EXPECT_EQ(b.reshape(x, {2, 3}), x);
  EXPECT_EQ(b.concat({x}, 0), x);
  EXPECT_EQ(b.pad(x, {0, 0}), x);
  EXPECT_TRUE(g.body.nodes.empty());
}

TEST_F(BuilderTest, HostNumbers) {
  EXPECT_EQ(b.as_int(b.value_of(7)).constant(), 7);
  EXPECT_EQ(b.as_int(b.constant(5, DType::Int32)).constant(), 5);
  Value n = b.input("n", {Kind::Tensor, DType::Int64, {}});
  Int i = b.as_int(n);
  EXPECT_FALSE(i.is_constant());
  Value x = b.input("x", {Kind::Tensor, DType::Float32, {100}});
  EXPECT_EQ(to_string(b.type(b.slice(x, 0, 0, i))), "f32[?]");  // it depends on data
}

}  // namespace
}  // namespace midstream
