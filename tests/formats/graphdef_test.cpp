#include "formats/graphdef.h"

#include <protozero/pbf_writer.hpp>

#include "expected.h"

namespace midstream {
namespace {

using namespace test;

TEST(GraphDef, ReadsConstantsOfEveryType) {
  SharedBytes bytes = map_file(kData + "graph.pb");
  GraphDef graph = parse_graphdef("graph.pb", bytes);
  for (const auto& [name, wanted] : expected("graph.pb").items()) {
    const NodeDef* node = graph.find(name);
    ASSERT_TRUE(node) << name;
    EXPECT_EQ(to_string(node->attr("dtype").type()), wanted.at("dtype").get<std::string>()) << name;
    expect_equal(node->attr("value").tensor(), wanted, name);
  }
  Array tensor = graph.find("float64")->attr("value").tensor();
  EXPECT_EQ(tensor.owner(), bytes.owner);  // tensor_content is not copied
}

TEST(GraphDef, ReadsNodes) {
  GraphDef graph = read_graphdef(kData + "graph.pb");
  const NodeDef& conv = *graph.find("conv");
  EXPECT_EQ(conv.op, "Conv2D");
  EXPECT_EQ(conv.inputs[0], "x");
  EXPECT_EQ(conv.device, "/device:CPU:0");
  EXPECT_EQ(conv.attr("strides").ints(), (std::vector<int64_t>{1, 2, 2, 1}));
  EXPECT_EQ(conv.attr("padding").s(), "SAME");
  EXPECT_TRUE(conv.attr("use_cudnn_on_gpu").b());
  EXPECT_EQ(conv.attr("T").type(), TfType::Float);
  EXPECT_EQ(conv.attr("_output_shapes").shapes()[0], (Dims{kUnknown, 4, 4, 2}));
  EXPECT_TRUE(conv.attr("explicit_paddings").ints().empty());
  EXPECT_EQ(graph.find("x")->attr("shape").shape(), (Dims{kUnknown, 8, 8, 1}));
  EXPECT_EQ(graph.find("after")->inputs, std::vector<std::string>{"conv"});
  EXPECT_GT(graph.producer, 1000);
  EXPECT_EQ(conv.attr("strides").text(), "[1, 2, 2, 1]");
  EXPECT_EQ(conv.attr("T").text(), "float32");
}

TEST(GraphDef, AttributesHaveAKind) {
  GraphDef graph = read_graphdef(kData + "graph.pb");
  const NodeDef& conv = *graph.find("conv");
  std::string error = error_of(ErrorKind::Mismatch, [&] { conv.attr("padding").i(); });
  EXPECT_NE(error.find("graph.pb: conv, attribute padding] is a string, where an integer is needed."),
            std::string::npos)
      << error;
  error_of(ErrorKind::Mismatch, [&] { conv.attr("strides").strings(); });
  error_of(ErrorKind::BadFile, [&] { conv.attr("absent"); });
}

TEST(GraphDef, TypesKeepTheirReference) {
  TfType ref = static_cast<TfType>(101);
  EXPECT_TRUE(is_ref(ref));
  EXPECT_EQ(to_dtype(ref), DType::Float32);
  EXPECT_EQ(to_string(ref), "float32_ref");
  EXPECT_EQ(to_string(TfType::Resource), "resource");
  EXPECT_FALSE(to_dtype(TfType::Variant));
  EXPECT_EQ(to_string(static_cast<TfType>(77)), "DataType(77)");
  EXPECT_EQ(to_tf_type(DType::BFloat16), TfType::BFloat16);
}

TEST(GraphDef, RefusesBrokenTensors) {
  auto tensor = [](int64_t size, const std::string& content) {
    std::string text;
    protozero::pbf_writer w(text);
    w.add_enum(1, 1);
    {
      protozero::pbf_writer shape(w, 2);
      protozero::pbf_writer dim(shape, 2);
      dim.add_int64(1, size);
    }
    if (!content.empty()) w.add_bytes(4, content);
    return parse_tensor("t", share(text));
  };
  EXPECT_EQ(tensor(2, std::string(8, '\0')).size(), 2);
  EXPECT_EQ(tensor(3, "").to_double(), (std::vector<double>{0, 0, 0}));  // no value at all: zeros
  error_of(ErrorKind::BadFile, [&] { tensor(2, "1234"); });
  error_of(ErrorKind::BadFile, [&] { tensor(-5, ""); });
  error_of(ErrorKind::BadFile, [&] { tensor(-1, ""); });
  error_of(ErrorKind::BadFile, [&] { tensor(int64_t{1} << 40, ""); });
  error_of(ErrorKind::BadFile, [] { parse_graphdef("g", share(std::string("\x0a\xff\x01"))); });
  error_of(ErrorKind::BadFile, [] { parse_graphdef("g", share(std::string("\x0d\1\1\1\1"))); });  // a node as fixed32
}

}  // namespace
}  // namespace midstream
