// What calls there are: operator schemas and their concrete shape rules. libtorch/ implements it over PyTorch's
// dispatcher, so that everything above can be built without a PyTorch header.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/value.h"

namespace midstream {

struct SchemaArg {
  std::string name;
  std::string type;  // as the schema prints it: "Tensor", "Tensor?", "int[]", "SymInt[2]", "Scalar", "ScalarType?", ...
  bool optional = false;  // the type ends in '?'
  bool has_default = false;
  Arg default_value;
  bool kwarg_only = false;
};

// How an operator that is not elementwise treats its tensor's axes, where that can be said simply, so that a permute in
// front of it can follow it instead. Its tensor is `self` (Cat: `tensors`, joined along `dim`).
enum class Axes : uint8_t {
  Unknown,
  Cat,
  Pad,     // `pad`: pairs from the last axis on
  Reduce,  // `dim` axes are reduced; `keepdim`
  Dim,     // works along the one axis `dim`, the shape's axes stay
  Dims,    // the same along the axes `dims`
};

struct Schema {
  std::string name;  // "aten::add.Tensor"
  std::vector<SchemaArg> args;
  std::vector<std::string> returns;  // types
  bool pointwise = false;            // elementwise over its tensor arguments (PyTorch's own tag, or our table)
  Axes axes = Axes::Unknown;
  bool random = false;  // two equal calls may give different numbers (PyTorch's tag nondeterministic_seeded)
};

// An argument with its values replaced by one sample of each.
struct SampleTensor {
  DType dtype;
  Dims dims;
  friend bool operator==(const SampleTensor&, const SampleTensor&) = default;
};
using SampleArg =
    std::variant<std::monostate, SampleTensor, bool, int64_t, double, DType, std::string, std::vector<int64_t>,
                 std::vector<double>, std::vector<bool>, std::vector<std::optional<SampleTensor>>>;
struct SampleOutput {
  Kind kind = Kind::Tensor;
  DType dtype = DType::Float32;
  // A dimension that depends on the data (nonzero) is kUnknown; so is the length of a list (its `number`).
  // A list that nothing was put into yet has dims {kUnknown}: its elements are unknown.
  Sample sample;
  bool data_dependent = false;  // Int, Float, Bool: the number depends on a tensor's elements (tensor_to_int)
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  // Throws Error(Internal) for an unknown operator and for one that writes its arguments (a schema with "(a!)").
  virtual const Schema& schema(const std::string& op) const = 0;
  virtual bool has(const std::string& op) const = 0;
  // The outputs for concrete arguments, in schema order (absent optional arguments are monostate, defaults filled in).
  // `is_list` tells that the outputs are the elements of one Tensor[]. Throws Error(Mismatch) with PyTorch's own words
  // (backtrace stripped) if no input of these shapes is possible.
  virtual std::vector<SampleOutput> infer(const Schema& schema, const std::vector<SampleArg>& args,
                                          bool* is_list) const = 0;
};

}  // namespace midstream
