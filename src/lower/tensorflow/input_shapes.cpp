// TensorFlow 1 let placeholders be of any rank (`keep_prob`, or everything where an old writer dropped the shape), and
// found out when they were fed. A graph of ours has ranks, so the ops that read the placeholder are asked: a product or
// convolution with a known weight has one, a reshape may as well be given what it makes, and what only takes part in
// arithmetic with tensors (`keep_prob` again) is a number.
#include "lower/tensorflow/input_shapes.h"

#include <algorithm>
#include <unordered_map>

#include "lower/tensorflow/weights.h"

namespace midstream::tensorflow {
namespace {

using Nodes = std::unordered_map<std::string, const NodeDef*>;

const NodeDef* node_at(const Nodes& nodes, const std::string& endpoint) {
  auto it = nodes.find(parse_endpoint(endpoint).node);
  while (it != nodes.end() && it->second->op == "Identity")
    it = nodes.find(parse_endpoint(it->second->inputs.at(0)).node);
  return it == nodes.end() ? nullptr : it->second;
}

std::optional<Array> constant_at(const Nodes& nodes, const std::string& endpoint) {
  const NodeDef* node = node_at(nodes, endpoint);
  if (!node || node->op != "Const") return std::nullopt;
  return node->attr("value").tensor();
}

// The shape argument of a Reshape: numbers where they are known.
TfShape target_shape(const Nodes& nodes, const std::string& endpoint) {
  if (auto whole = constant_at(nodes, endpoint)) return whole->to_int64();
  const NodeDef* pack = node_at(nodes, endpoint);
  if (!pack || pack->op != "Pack") return std::nullopt;
  Dims dims;
  for (const std::string& input : pack->inputs) {
    if (parse_endpoint(input).control) continue;
    auto number = constant_at(nodes, input);
    dims.push_back(number ? number->to_int64().at(0) : kUnknown);
  }
  return dims;
}

TfShape asked_of(const Nodes& nodes, const NodeDef& reader) {
  if (reader.inputs.size() < 2) return std::nullopt;
  if (reader.op == "Reshape") return target_shape(nodes, reader.inputs[1]);
  const auto weight = constant_at(nodes, reader.inputs[1]);
  if (!weight) return std::nullopt;
  const Dims& w = weight->shape();
  if (reader.op == "MatMul" && w.size() == 2) {
    const bool transposed = reader.has("transpose_b") && reader.attr("transpose_b").b();
    return Dims{kUnknown, transposed ? w[1] : w[0]};
  }
  const bool nhwc = !reader.has("data_format") || reader.attr("data_format").s() == "NHWC";
  if ((reader.op == "Conv2D" || reader.op == "DepthwiseConv2dNative") && w.size() == 4 && nhwc)
    return Dims{kUnknown, kUnknown, kUnknown, w[2]};
  return std::nullopt;
}

bool is_arithmetic(const std::string& op) {
  for (const char* name : {"Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Pow", "Maximum", "Minimum", "Less",
                           "Greater", "Switch", "If", "StatelessIf", "LogicalNot"})
    if (op == name) return true;
  return false;
}

bool is_scalar(const Nodes& nodes, const std::string& endpoint) {
  const NodeDef* node = node_at(nodes, endpoint);
  if (!node) return false;
  if (node->op == "Const") return node->attr("value").tensor().shape().empty();
  return is_variable_op(node->op) && node->attr("shape").shape() == Dims{};
}

// Whether the other inputs are numbers, so that the reader says nothing about this one.
bool among_numbers(const Nodes& nodes, const NodeDef& reader, const std::string& placeholder) {
  return std::all_of(reader.inputs.begin(), reader.inputs.end(), [&](const std::string& input) {
    const Endpoint e = parse_endpoint(input);
    return e.control || e.node == placeholder || is_scalar(nodes, input);
  });
}

}  // namespace

TfShape shape_from_readers(const File& file, const std::string& placeholder) {
  Nodes nodes;
  for (const NodeDef& node : file.graph.nodes) nodes[node.name] = &node;
  bool number = true, among_tensors = false;
  for (const NodeDef& node : file.graph.nodes)
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Endpoint e = parse_endpoint(node.inputs[i]);
      if (e.control || e.node != placeholder) continue;
      number = number && is_arithmetic(node.op);
      among_tensors = among_tensors || !among_numbers(nodes, node, placeholder);
      if (i > 0) continue;
      if (TfShape shape = asked_of(nodes, node)) return shape;
    }
  return number && among_tensors ? TfShape(Dims{}) : std::nullopt;
}

}  // namespace midstream::tensorflow
