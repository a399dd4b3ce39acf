// A compiled rule gives the bits of the operators that it is made of.
#include "libtorch/pointwise.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "libtorch/dialect.h"
#include "run/executor.h"

namespace midstream {
namespace {

std::string rule(const std::string& dtype) {
  const std::string v = dtype + "[?]";
  return "graph \"rule\"(%w: " + v + ", %g: " + v + ", %m: " + v + ", %v: " + v + ", %rate: " + dtype + R"([]) {
  %c = constant )" +
         dtype + R"([] [0.3]
  %1 = aten::sub.Tensor(%g, %m)
  %2 = aten::mul.Scalar(%1, other=0.1)
  %m2 = aten::add.Tensor(%m, %2)
  %3 = aten::mul.Tensor(%g, %g)
  %4 = aten::sub.Tensor(%3, %v)
  %5 = aten::mul.Scalar(%4, other=0.001)
  %6 = aten::add.Tensor(%v, %5)
  %v2 = aten::maximum(%6, %v)
  %7 = aten::mul.Tensor(%m2, %rate)
  %8 = aten::abs(%v2)
  %9 = aten::add.Scalar(%8, other=1e-07)
  %10 = aten::div.Tensor(%7, %9)
  %11 = aten::neg(%10)
  %12 = aten::div.Scalar(%11, other=3.0)
  %13 = aten::mul.Tensor(%12, %c)
  %w2 = aten::add.Tensor(%w, %13)
  return w=%w2, m=%m2, v=%v2
}
)";
}

at::Tensor numbers(int64_t n, double scale, at::ScalarType dtype) {
  return (at::cos(at::arange(n, at::kDouble) * scale) * scale).to(dtype);
}

void expect_same_bits(const std::string& text, at::ScalarType dtype) {
  auto graph = parse_graph(text, libtorch_dialect());
  auto program = PointwiseProgram::compile(*graph);
  ASSERT_TRUE(program);
  const Executor executor(*graph, std::make_shared<VariableStore>(graph->variables), false);
  for (int64_t n : {1, 7, 512, 513, 5000}) {
    std::vector<at::Tensor> in;
    for (double scale : {0.7, 0.013, 1.9}) in.push_back(numbers(n, scale, dtype));
    in.push_back(numbers(n, 0.31, dtype).abs());
    in.push_back(at::scalar_tensor(1e-3, dtype));
    const std::vector<at::Tensor> wanted = executor.run(in);
    // Written over its inputs, as an optimizer does.
    std::vector<at::Tensor> here;
    for (const at::Tensor& t : in) here.push_back(t.clone());
    program->run({here[0].data_ptr(), here[1].data_ptr(), here[2].data_ptr(), here[3].data_ptr(), here[4].data_ptr()},
                 {here[0].data_ptr(), here[2].data_ptr(), here[3].data_ptr()}, n);
    EXPECT_TRUE(here[0].equal(wanted[0])) << n;
    EXPECT_TRUE(here[1].equal(in[1])) << n;
    EXPECT_TRUE(here[2].equal(wanted[1])) << n;
    EXPECT_TRUE(here[3].equal(wanted[2])) << n;
  }
}

TEST(Pointwise, TheSameBits) {
  expect_same_bits(rule("f64"), at::kDouble);
  expect_same_bits(rule("f32"), at::kFloat);
}

TEST(Pointwise, RootsAndNotANumbers) {
  auto graph = parse_graph(R"(graph "g"(%x: f64[?], %y: f64[?]) {
  %1 = aten::maximum(%x, %y)
  %2 = midstream::exact_sqrt(%1)
  return %2
}
)",
                           libtorch_dialect());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor x = at::tensor({4.0, nan, 2.0, -1.0, 0.1}, at::kDouble);
  const at::Tensor y = at::tensor({1.0, 1.0, nan, -2.0, 0.3}, at::kDouble);
  const at::Tensor wanted = Executor(*graph, std::make_shared<VariableStore>(graph->variables), false).run({x, y})[0];
  at::Tensor out = at::empty_like(x);
  PointwiseProgram::compile(*graph)->run({x.data_ptr(), y.data_ptr()}, {out.data_ptr()}, 5);
  EXPECT_TRUE(at::allclose(out, wanted, 0, 0, /*equal_nan=*/true)) << out << wanted;
}

TEST(Pointwise, WhatIsNotForItIsLeftToTheExecutor) {
  auto compiles = [](const std::string& line) {
    const std::string text = "graph \"g\"(%x: f64[?], %y: f64[?]) {\n  %1 = " + line + "\n  return %1\n}\n";
    return PointwiseProgram::compile(*parse_graph(text, libtorch_dialect())).has_value();
  };
  EXPECT_TRUE(compiles("aten::add.Tensor(%x, %y)"));
  EXPECT_FALSE(compiles("aten::add.Tensor(%x, %y, alpha=2)"));
  EXPECT_FALSE(compiles("aten::div.Tensor_mode(%x, %y, rounding_mode=\"floor\")"));
  EXPECT_FALSE(compiles("aten::sum(%x)"));
  EXPECT_FALSE(compiles("aten::gt.Tensor(%x, %y)"));
  EXPECT_FALSE(compiles("aten::cumsum(%x, dim=0)"));
}

}  // namespace
}  // namespace midstream
