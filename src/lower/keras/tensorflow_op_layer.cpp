// TensorFlowOpLayer, which tf.keras 2.0 .. 2.3 made of a TensorFlow call between layers: one node of a graph as JSON
// (protobuf's json_format) or as bytes, and the numbers of its inputs that are no layer's output. It is lowered as that
// node of a GraphDef.
#include <protozero/pbf_writer.hpp>

#include "lower/registry.h"
#include "lower/tensorflow/driver.h"

namespace midstream::keras {
namespace {

using Writer = protozero::pbf_writer;

[[noreturn]] void refuse(const Layer& l, const std::string& what) {
  throw Error(ErrorKind::Unsupported, l.path, what, "\n  Save the model with tf.keras 2.4 or newer, and open that file.");
}

// json_format writes bytes as base64.
std::string from_base64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    const size_t digit = digits.find(c);
    if (digit == std::string::npos) break;  // the padding
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xff);
  }
  return out;
}

// An int64, which json_format writes as a string.
int64_t integer(const json& value) {
  return value.is_string() ? std::stoll(value.get<std::string>()) : value.get<int64_t>();
}

int32_t type_number(const Layer& l, const json& value) {
  if (value.is_number_integer()) return value.get<int32_t>();
  static const std::map<std::string, TfType> names = {
      {"DT_FLOAT", TfType::Float},   {"DT_DOUBLE", TfType::Double}, {"DT_INT32", TfType::Int32},
      {"DT_UINT8", TfType::UInt8},   {"DT_INT16", TfType::Int16},   {"DT_INT8", TfType::Int8},
      {"DT_STRING", TfType::String}, {"DT_INT64", TfType::Int64},   {"DT_BOOL", TfType::Bool},
      {"DT_HALF", TfType::Half},     {"DT_UINT16", TfType::UInt16}, {"DT_BFLOAT16", TfType::BFloat16},
      {"DT_UINT32", TfType::UInt32}, {"DT_UINT64", TfType::UInt64}, {"DT_COMPLEX64", TfType::Complex64},
  };
  auto it = names.find(value.get<std::string>());
  if (it == names.end()) refuse(l, "has an attribute of the type " + value.get<std::string>() + ".");
  return static_cast<int32_t>(it->second);
}

// Fields of tensorflow.AttrValue, and of its ListValue, which has the same from 2 to 7.
void write_attr(const Layer& l, Writer& w, const std::string& kind, const json& value) {
  if (kind == "s") {
    w.add_bytes(2, from_base64(value.get<std::string>()));
  } else if (kind == "i") {
    w.add_int64(3, integer(value));
  } else if (kind == "f") {
    if (!value.is_number()) refuse(l, "has an attribute with the number " + value.dump() + ".");
    w.add_float(4, value.get<float>());
  } else if (kind == "b") {
    w.add_bool(5, value.get<bool>());
  } else if (kind == "type") {
    w.add_int32(6, type_number(l, value));
  } else if (kind == "shape") {
    Writer shape(w, 7);
    for (const json& dim : value.value("dim", json::array())) {
      Writer d(shape, 2);
      d.add_int64(1, integer(dim.value("size", json(0))));
    }
    if (value.value("unknownRank", false)) shape.add_bool(3, true);
  } else if (kind == "list") {
    Writer list(w, 1);
    for (const auto& [inner, values] : value.items())
      for (const json& v : values) write_attr(l, list, inner, v);
  } else {
    refuse(l, "has an attribute of the kind \"" + kind + "\".");
  }
}

NodeDef node_of(const Layer& l) {
  const json& source = l.config.at("node_def");
  if (source.is_string()) return parse_nodedef(l.path, share(source.get<std::string>()));
  NodeDef node;
  for (const auto& [key, value] : source.items()) {
    if (key == "name") {
      node.name = value;
    } else if (key == "op") {
      node.op = value;
    } else if (key == "input") {
      node.inputs = value.get<std::vector<std::string>>();
    } else if (key == "attr") {
      for (const auto& [name, attr] : value.items()) {
        std::string bytes;
        Writer w(bytes);
        for (const auto& [kind, v] : attr.items()) write_attr(l, w, kind, v);
        node.attrs[name] = {share(std::move(bytes)), l.path + ", attribute " + name};
      }
    } else if (key != "device" && key != "experimentalDebugInfo") {
      refuse(l, "has the entry \"" + key + "\" in its node_def.");
    }
  }
  return node;
}

// A number, or nested lists of numbers, as tf.constant takes them: floats are float32 (or as the node's T says),
// integers int32.
Array constant_of(const Layer& l, const NodeDef& node, const json& value) {
  Dims shape;
  for (const json* level = &value; level->is_array(); level = &level->front()) {
    shape.push_back(static_cast<int64_t>(level->size()));
    if (level->empty()) break;
  }
  std::vector<double> numbers;
  bool floats = false, bools = false;
  std::function<void(const json&, size_t)> walk = [&](const json& v, size_t depth) {
    if (v.is_array() && depth < shape.size() && static_cast<int64_t>(v.size()) == shape[depth]) {
      for (const json& item : v) walk(item, depth + 1);
    } else if ((v.is_number() || v.is_boolean()) && depth == shape.size()) {
      floats = floats || v.is_number_float();
      bools = bools || v.is_boolean();
      numbers.push_back(v.is_boolean() ? v.get<bool>() : v.get<double>());
    } else {
      refuse(l, "has a constant that is no array of numbers: " + v.dump().substr(0, 60) + ".");
    }
  };
  walk(value, 0);
  if (floats) {
    const bool is_double = node.has("T") && node.attr("T").type() == TfType::Double;
    return Array::of(DType::Float64, shape, std::move(numbers)).to(is_double ? DType::Float64 : DType::Float32);
  }
  if (bools) return Array::of(DType::Bool, shape, std::vector<uint8_t>(numbers.begin(), numbers.end()));
  return Array::of(DType::Int32, shape, std::vector<int32_t>(numbers.begin(), numbers.end()));
}

Tensors tensorflow_op_layer(Layer& l, const Call& call) {
  l.expect_config({"node_def", "constants"});
  tensorflow::File file;
  file.path = l.path;
  file.format = "TensorFlowOpLayer";
  NodeDef node = node_of(l);
  std::erase_if(node.inputs, [](const std::string& input) { return input.starts_with("^"); });
  const json constants = l.has("constants") ? l.config.at("constants") : json::object();
  if (node.inputs.size() != call.inputs.size() + constants.size())
    throw Error(ErrorKind::Mismatch, l.path,
                "tf." + node.op + " takes " + std::to_string(node.inputs.size()) + " inputs, and the file gives " +
                    std::to_string(call.inputs.size()) + " tensors and " + std::to_string(constants.size()) +
                    " constants.");
  std::vector<tensorflow::Operand> operands;
  size_t next = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    auto constant = constants.find(std::to_string(i));
    if (constant != constants.end())
      operands.emplace_back(constant_of(l, node, *constant));
    else
      operands.emplace_back(call.inputs.at(next++).value);
    node.inputs[i] = "input_" + std::to_string(i);
  }
  const std::string name = node.name = "node";
  file.graph.nodes.push_back(std::move(node));
  const std::map<std::string, std::string> no_variables;
  tensorflow::Driver driver(l.b, file, no_variables);
  for (size_t i = 0; i < operands.size(); ++i) driver.bind("input_" + std::to_string(i) + ":0", operands[i]);
  Tensors out = {{tensorflow::materialize(l.b, driver.evaluate(name)), {}}};
  for (size_t i = 1; driver.output(name, i).defined(); ++i)
    out.push_back({tensorflow::materialize(l.b, driver.output(name, i)), {}});
  return out;
}

}  // namespace

void register_tensorflow_op_layer(Registry& r) {
  r.layer("TensorFlowOpLayer", tensorflow_op_layer);
  r.keeps_input_dtype.insert("TensorFlowOpLayer");  // autocast=False in tf.keras
}

}  // namespace midstream::keras
