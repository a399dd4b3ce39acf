// TensorFlow's GraphDef, walked in place: names and structure become plain structs, attribute values stay undecoded
// bytes until somebody asks, tensors with tensor_content are never copied. There is no 2 GB limit and no generated
// code. Every AttrValue shares the file's bytes. Nothing is interpreted here: no op, no default value of an attribute.
// Throws Error(BadFile, "<file>: <node>", ...) for broken bytes; Error(Mismatch) when an attribute is not of the kind
// that was asked for.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/array.h"
#include "formats/mapped_file.h"

namespace midstream {

// tensorflow.DataType. A reference type (TF1 variables) is the plain one plus 100.
enum class TfType : int32_t {
  Invalid = 0,
  Float = 1,
  Double = 2,
  Int32 = 3,
  UInt8 = 4,
  Int16 = 5,
  Int8 = 6,
  String = 7,
  Complex64 = 8,
  Int64 = 9,
  Bool = 10,
  QInt8 = 11,
  QUInt8 = 12,
  QInt32 = 13,
  BFloat16 = 14,
  QInt16 = 15,
  QUInt16 = 16,
  UInt16 = 17,
  Complex128 = 18,
  Half = 19,
  Resource = 20,
  Variant = 21,
  UInt32 = 22,
  UInt64 = 23,
};
bool is_ref(TfType type);
TfType without_ref(TfType type);
std::optional<DType> to_dtype(TfType type);  // nullopt for resource, variant, quantized, ... ; references are stripped
TfType to_tf_type(DType dtype);
std::string to_string(TfType type);  // "float32", "resource", "int32_ref", "DataType(99)"

// tensorflow.TensorShapeProto: nullopt is a shape of unknown rank, kUnknown a size that is not known.
using TfShape = std::optional<Dims>;

struct AttrValue;

// tensorflow.NameAttrList: a function and the attributes to call it with.
struct FuncRef {
  std::string name;
  std::map<std::string, AttrValue, std::less<>> attrs;
};

struct AttrValue {
  enum class Kind { None, S, I, F, B, Type, Shape, Tensor, Func, List, Placeholder };

  SharedBytes raw;    // the serialized AttrValue
  std::string where;  // for messages: "<file>: <node>, attribute <name>"

  Kind kind() const;
  // Each throws Error(Mismatch) if the value is of another kind.
  std::string s() const;
  int64_t i() const;
  float f() const;
  bool b() const;
  TfType type() const;
  TfShape shape() const;
  Array tensor() const;
  FuncRef func() const;
  std::string placeholder() const;
  // Lists. An empty list is a list of every kind.
  std::vector<std::string> strings() const;
  std::vector<int64_t> ints() const;
  std::vector<float> floats() const;
  std::vector<bool> bools() const;
  std::vector<TfType> types() const;
  std::vector<TfShape> shapes() const;
  std::vector<Array> tensors() const;
  std::vector<FuncRef> funcs() const;
  // For listings: "SAME", "[1, 2, 2, 1]", "<float32 [3, 3, 1, 8]>", ...
  std::string text() const;
};
using Attrs = std::map<std::string, AttrValue, std::less<>>;

struct NodeDef {
  std::string name, op, device;
  std::vector<std::string> inputs;  // "node", "node:1", "^control"; inside functions "node:output:0"
  Attrs attrs;

  bool has(std::string_view attr) const { return attrs.find(attr) != attrs.end(); }
  // Throws Error(BadFile) if absent.
  const AttrValue& attr(std::string_view name) const;
};

// tensorflow.OpDef.ArgDef of a function signature.
struct ArgDef {
  std::string name;
  TfType type = TfType::Invalid;
  std::string type_attr, number_attr, type_list_attr;
  bool is_ref = false;
};

struct FunctionDef {
  std::string name;
  std::vector<ArgDef> inputs, outputs;
  std::vector<std::string> control_outputs;
  bool is_stateful = false;
  std::vector<NodeDef> nodes;
  std::map<std::string, std::string> ret, control_ret;  // output name -> "node:output:0"; control name -> node
  Attrs attrs;
  std::map<uint32_t, Attrs> arg_attrs;
  std::map<uint32_t, uint32_t> resource_arg_unique_id;
};

struct GraphDef {
  std::vector<NodeDef> nodes;
  std::vector<FunctionDef> functions;
  std::map<std::string, std::string> gradients;  // function -> its gradient function (library.gradient)
  int producer = 0, min_consumer = 0;
  std::vector<int> bad_consumers;

  const NodeDef* find(std::string_view node) const;  // linear: for tests and small graphs
  const FunctionDef* find_function(std::string_view name) const;
};

// A frozen graph file.
GraphDef read_graphdef(const std::string& path);
// `name` is only used in messages.
GraphDef parse_graphdef(const std::string& name, const SharedBytes& message);
NodeDef parse_nodedef(const std::string& name, const SharedBytes& message);
// A TensorProto. Zero-copy for tensor_content; the *_val fields otherwise, the last value repeated to fill the shape as
// TensorFlow does.
Array parse_tensor(const std::string& name, const SharedBytes& message);
// The same where dtype and shape are known from elsewhere and the message holds only the values (V1 checkpoints).
Array parse_tensor(const std::string& name, const SharedBytes& message, TfType dtype, const Dims& shape);
TfShape parse_shape(const std::string& name, const SharedBytes& message);

}  // namespace midstream
