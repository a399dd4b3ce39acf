// What shape inference believes, beside what the kernels return. Without Python: PyTorch registers many meta kernels
// from there, so that a test in Python does not see that one is missing here.
#include "libtorch/dialect.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "base/error.h"
#include "libtorch/convert.h"

namespace midstream {
namespace {

// Every operator that a lowering names.
std::set<std::string> operators_in_use() {
  std::set<std::string> out;
  const std::regex name("\"(aten::[a-z0-9_]+(\\.[A-Za-z_]+)?)\"");
  for (const char* folder : {"lower", "graph"})
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::filesystem::path(MIDSTREAM_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      const std::string source = text.str();
      for (std::sregex_iterator it(source.begin(), source.end(), name), end; it != end; ++it)
        if (libtorch_dialect().has((*it)[1])) out.insert((*it)[1]);
    }
  return out;
}

std::vector<c10::IValue> call(const std::string& op, std::vector<c10::IValue> stack) {
  const size_t dot = op.find('.');
  auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(op.substr(0, dot).c_str(),
                                                               dot == std::string::npos ? "" : op.c_str() + dot + 1);
  const auto& declared = handle.schema().arguments();
  for (size_t i = stack.size(); i < declared.size(); ++i) stack.push_back(*declared[i].default_value());
  handle.callBoxed(&stack);
  return stack;
}

SampleTensor sample(const at::Tensor& t) { return {from_scalar_type(t.scalar_type()), t.sizes().vec()}; }

void expect_same(const std::string& what, const std::vector<SampleOutput>& believed,
                 const std::vector<c10::IValue>& real) {
  ASSERT_GE(believed.size(), 1u) << what;
  for (size_t i = 0; i < believed.size() && i < real.size(); ++i) {
    if (!real[i].isTensor()) continue;
    EXPECT_EQ(believed[i].sample.dims, real[i].toTensor().sizes().vec()) << what;
    EXPECT_EQ(believed[i].dtype, from_scalar_type(real[i].toTensor().scalar_type())) << what;
  }
}

// Elementwise operators whose only required arguments are tensors, for every dtype that the kernel takes.
TEST(Dialect, ElementwiseOperatorsHaveTheShapeAndDtypeOfTheirKernels) {
  size_t compared = 0;
  for (const std::string& op : operators_in_use()) {
    const Schema& schema = libtorch_dialect().schema(op);
    if (!schema.pointwise) continue;
    size_t tensors = 0;
    bool plain = true;
    for (const SchemaArg& a : schema.args) {
      if (a.has_default) continue;
      plain = plain && a.type == "Tensor";
      ++tensors;
    }
    if (!plain || tensors == 0) continue;
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kLong, at::kInt, at::kBool})
      for (const std::vector<int64_t>& dims : {std::vector<int64_t>{2, 3}, {1, 3}, {0, 3}, {}}) {
        std::vector<c10::IValue> in;
        std::vector<SampleArg> samples;
        for (size_t i = 0; i < tensors; ++i) {
          // where()'s condition is bool.
          const at::Tensor t = at::ones(i == 0 ? dims : std::vector<int64_t>{2, 3},
                                        op.starts_with("aten::where") && i == 0 ? at::kBool : dtype);
          in.emplace_back(t);
          samples.emplace_back(sample(t));
        }
        std::vector<c10::IValue> real;
        try {
          real = call(op, in);
        } catch (const std::exception&) {
          continue;  // the kernel takes no such dtype, or the shapes do not broadcast
        }
        for (size_t i = tensors; i < schema.args.size(); ++i) {
          const ArgVariant& value = schema.args[i].default_value.variant();
          if (auto* b = std::get_if<bool>(&value))
            samples.emplace_back(*b);
          else if (auto* n = std::get_if<int64_t>(&value))
            samples.emplace_back(*n);
          else if (auto* d = std::get_if<double>(&value))
            samples.emplace_back(*d);
          else if (auto* s = std::get_if<std::string>(&value))
            samples.emplace_back(*s);
          else
            samples.emplace_back(std::monostate{});
        }
        bool is_list = false;
        std::stringstream what;
        what << op << " of " << at::toString(dtype) << " " << to_string(Dims(dims));
        expect_same(what.str(), libtorch_dialect().infer(schema, samples, &is_list), real);
        ++compared;
      }
  }
  EXPECT_GT(compared, 500u);
}

TEST(Dialect, PoolingOverThreeAxes) {
  for (const bool average : {false, true})
    for (const bool ceil : {false, true})
      for (const int64_t n : {5, 6, 7, 8})
        for (const int64_t stride : {1, 2, 3})
          for (const int64_t padding : {0, 1}) {
            const at::Tensor x = at::ones({2, 3, n, n + 1, 9});
            const std::vector<int64_t> window{2, 3, 3}, strides(3, stride), pads(3, padding);
            const std::string op = average ? "aten::avg_pool3d" : "aten::max_pool3d";
            std::vector<c10::IValue> in{x, window, strides, pads};
            std::vector<SampleArg> samples{sample(x), window, strides, pads};
            if (!average) {
              in.emplace_back(std::vector<int64_t>{1, 1, 1});
              samples.emplace_back(std::vector<int64_t>{1, 1, 1});
            }
            in.emplace_back(ceil);
            samples.emplace_back(ceil);
            if (average) {
              samples.emplace_back(true);
              samples.emplace_back(std::monostate{});
            }
            bool is_list = false;
            expect_same(op, libtorch_dialect().infer(libtorch_dialect().schema(op), samples, &is_list), call(op, in));
          }
}

}  // namespace
}  // namespace midstream
