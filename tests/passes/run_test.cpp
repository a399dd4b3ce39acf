// What passes promise, run: the same outputs, gradients and assignments before and after, on PyTorch's own operators.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "graph/builder.h"
#include "libtorch/dialect.h"
#include "passes/pass_manager.h"
#include "run/executor.h"

namespace midstream {
namespace {

using Tensors = std::vector<at::Tensor>;

struct Outcome {
  Tensors outputs, gradients;
};

Outcome run(const Graph& graph, std::shared_ptr<VariableStore> store, const Tensors& inputs, bool training) {
  Outcome out;
  Tensors leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.is_floating_point() ? x.detach().requires_grad_(true) : x);
  out.outputs = Executor(graph, store, training, /*optimize=*/false).run(leaves, false);
  Tensors wanted, roots;
  for (size_t i = 0; i < store->variables()->size(); ++i)
    if (store->variables()->at(i).trainable) wanted.push_back(store->tensor(i));
  for (const at::Tensor& x : leaves)
    if (x.requires_grad()) wanted.push_back(x);
  for (const at::Tensor& y : out.outputs)
    if (y.requires_grad()) roots.push_back((y * y).sum());
  out.gradients = torch::autograd::grad(roots, wanted, {}, std::nullopt, false, true);
  return out;
}

void expect_same(const Graph& graph, const Tensors& inputs, bool training) {
  auto store = std::make_shared<VariableStore>(graph.variables);
  for (size_t i = 0; i < graph.variables->size(); ++i) {  // numbers that differ
    at::NoGradGuard no_grad;
    at::Tensor& t = store->tensor(i);
    if (t.is_floating_point()) t.copy_(at::sin(at::arange(t.numel(), t.options()) + static_cast<double>(i)).view_as(t));
  }
  const Outcome before = run(graph, store, inputs, training);
  for (std::optional<bool> mode : {std::optional<bool>(), std::optional<bool>(training)}) {
    auto copy = graph.clone();
    run_passes(*copy, libtorch_dialect(), {.training = mode, .verify = true});
    SCOPED_TRACE(print(*copy, &libtorch_dialect()));
    const Outcome after = run(*copy, store, inputs, training);
    ASSERT_EQ(before.outputs.size(), after.outputs.size());
    for (size_t i = 0; i < before.outputs.size(); ++i) {
      EXPECT_TRUE(before.outputs[i].equal(after.outputs[i])) << "output " << i;
    }
    for (size_t i = 0; i < before.gradients.size(); ++i) {
      ASSERT_EQ(before.gradients[i].defined(), after.gradients[i].defined());
      if (!before.gradients[i].defined()) continue;
      EXPECT_TRUE(at::allclose(before.gradients[i], after.gradients[i], 1e-13, 1e-13)) << "gradient " << i;
    }
  }
}

at::Tensor numbers(at::IntArrayRef sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) n *= s;
  return at::cos(at::arange(n, at::kDouble) * 0.7).reshape(sizes);
}

class RunTest : public testing::Test {
 protected:
  std::shared_ptr<Variables> variables = std::make_shared<Variables>();
  Graph g{variables};
  Builder b{g, libtorch_dialect()};

  Value weight(const std::string& name, Dims dims) {
    variables->add({.name = name, .dtype = DType::Float64, .source_dims = std::move(dims), .trainable = true});
    return b.variable(name);
  }
  Value conv_nhwc(Value x, const std::string& name, int64_t in, int64_t out) {
    Value w = b.stored_as(weight(name, {3, 3, in, out}), {Permute{{3, 2, 0, 1}}});
    Value y = b.call("aten::conv2d", {{"input", b.permute(x, {0, 3, 1, 2})}, {"weight", w}, {"padding", 1}});
    return b.permute(y, {0, 2, 3, 1});
  }
  void finish(const Values& results) {
    std::vector<Output> outputs;
    for (Value v : results) outputs.push_back({"", v});
    b.outputs(outputs);
    verify(g, &libtorch_dialect());
    const std::string once = print(g, &libtorch_dialect());
    EXPECT_EQ(print(*parse_graph(once, libtorch_dialect()), &libtorch_dialect()), once);
  }
};

TEST_F(RunTest, AConvolutionalNetworkWithEverythingThatPermutesSlideThrough) {
  Value x = b.input("x", {Kind::Tensor, DType::Float64, {kUnknown, kUnknown, 7, 3}});
  Value y = conv_nhwc(x, "a", 3, 4);
  y = b.add(y, weight("bias", {4}));
  y = b.mul(y, weight("slopes", {7, 4}));
  y = b.add(y, conv_nhwc(b.call("aten::relu", {{"self", y}}), "b", 4, 4));
  Value training = b.training();
  y = b.cond(training, [&] { return Values{conv_nhwc(b.neg(y), "c", 4, 4)}; }, [&] { return Values{y}; })[0];
  Value wide = b.concat({y, b.abs(y)}, -1);
  wide = b.pad(wide, {0, 0, 1, 2, 0, 1});
  wide = b.slice(wide, 2, 1, 6);
  wide = b.flip(wide, {1});
  Value soft = b.call("aten::softmax.int", {{"self", wide}, {"dim", -1}});
  finish({soft, b.mean(conv_nhwc(wide, "d", 8, 2), {1, 2}), b.amax(wide, {3}, true), b.sum(wide, {2, 3})});
  for (bool mode : {false, true}) expect_same(g, {numbers({2, 5, 7, 3})}, mode);
}

TEST_F(RunTest, PermutesAreGoneAfterThePasses) {
  Value x = b.input("x", {Kind::Tensor, DType::Float64, {kUnknown, 8, 8, 3}});
  Value y = x;
  for (const char* name : {"a", "b", "c"}) y = b.call("aten::relu", {{"self", conv_nhwc(y, name, 3, 3)}});
  finish({y});
  run_passes(g, libtorch_dialect(), {.verify = true});
  size_t permutes = 0;
  for (const auto& node : g.body.nodes) permutes += node->op == "aten::permute";
  EXPECT_EQ(permutes, 2u) << print(g, &libtorch_dialect());
}

TEST_F(RunTest, ARecurrentLoopOverLists) {
  Value x = b.input("x", {Kind::Tensor, DType::Float64, {kUnknown, kUnknown, 3}});
  Value w = weight("w", {3, 3});
  Value steps = b.permute(x, {1, 0, 2});
  Int n = b.size(x, 1);
  Value list = b.call("midstream::list_reserve", {{"n", n}});
  Value h = b.full({b.size(x, 0), 3}, 0, DType::Float64);
  Values out = b.while_loop(
      {b.value_of(0), h, list, w},
      [&](const Values& v) { return b.call("midstream::int_lt", {{"a", v[0]}, {"b", n}}); },
      [&](const Values& v) {
        Int i(b, v[0]);
        Value next = b.call("aten::tanh", {{"self", b.add(b.select(steps, 0, i), b.matmul(v[1], v[3]))}});
        return Values{(i + 1).value(), next, b.call("midstream::list_set", {{"l", v[2]}, {"i", i}, {"x", next}}), v[3]};
      });
  EXPECT_EQ(out[3], w);
  Value all = b.call("midstream::list_stack", {{"l", out[2]}});
  EXPECT_EQ(to_string(b.type(all)), "f64[?, ?, 3]");
  finish({b.permute(all, {1, 0, 2}), out[1]});
  expect_same(g, {numbers({2, 5, 3})}, false);
  // And it is a recurrence.
  auto store = std::make_shared<VariableStore>(variables);
  const at::Tensor input = numbers({2, 5, 3});
  at::Tensor state = at::zeros({2, 3}, at::kDouble);
  for (int64_t i = 0; i < 5; ++i) state = at::tanh(input.select(1, i) + at::matmul(state, store->tensor("w")));
  EXPECT_TRUE(Executor(g, store, false).run({input})[1].equal(state));
}

TEST_F(RunTest, SamePaddingWhoseAmountDependsOnTheSize) {
  Value x = b.input("x", {Kind::Tensor, DType::Float64, {kUnknown, 3, kUnknown, kUnknown}});
  Value w = weight("w", {4, 3, 3, 3});
  Ints pads;
  for (int64_t axis : {3, 2}) {
    Int size = b.size(x, axis), total = max((ceil_div(size, 2) - 1) * 2 + 3 - size, 0);
    Int low = floor_div(total, 2);
    pads.push_back(low);
    pads.push_back(total - low);
  }
  Value y = b.call("aten::conv2d", {{"input", b.pad(x, pads)}, {"weight", w}, {"stride", 2}});
  EXPECT_EQ(to_string(b.type(y)), "f64[?, 4, ?, ?]");
  finish({y});
  expect_same(g, {numbers({2, 3, 7, 10})}, false);
  auto store = std::make_shared<VariableStore>(variables);
  for (int64_t size : {7, 8, 9, 10}) {
    const at::Tensor out = Executor(g, store, false).run({numbers({1, 3, size, size + 1})})[0];
    EXPECT_EQ(out.size(2), (size + 1) / 2);
    EXPECT_EQ(out.size(3), (size + 2) / 2);
  }
}

TEST_F(RunTest, PyTorchsWordsComeWithTheLayersName) {
  Builder::At here(b, {"block1/conv", "keras.Conv2D", 0});
  Value x = b.input("x", {Kind::Tensor, DType::Float64, {kUnknown, 5}});
  try {
    b.matmul(x, weight("w", {4, 2}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Mismatch);
    EXPECT_EQ(e.where(), "block1/conv, keras.Conv2D");
    EXPECT_EQ(e.message().rfind("aten::matmul(self=f64[?, 5], other=f64[4, 2]) is not possible: ", 0), 0u) << e.what();
  }
}

}  // namespace
}  // namespace midstream
