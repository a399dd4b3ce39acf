// Values, their types, and what an operator's argument may be.
#pragma once

#include <array>
#include <string>
#include <variant>
#include <vector>

#include "base/array.h"
#include "base/dtype.h"

namespace midstream {

// One SSA value of a graph: an index into Graph::values. Blocks nested in a graph share its value table, so a nested
// block may use any value that was defined before it in an enclosing block (as in Python).
struct Value {
  int32_t id = -1;
  explicit operator bool() const { return id >= 0; }
  friend bool operator==(Value, Value) = default;
  friend auto operator<=>(Value, Value) = default;
};

enum class Kind : uint8_t {
  Tensor,
  Int,    // a host integer (int64): sizes and what is computed from them
  Float,  // a host double
  Bool,   // a host bool: predicates of regions
  List,   // a host list of tensors (TensorFlow's TensorList): immutable, copies share their tensors
  None,   // an absent optional tensor
};

struct Type {
  Kind kind = Kind::Tensor;
  DType dtype = DType::Float32;  // Tensor (and the elements of a List)
  Dims dims;                     // Tensor: kUnknown where only known at run time
  friend bool operator==(const Type&, const Type&) = default;
};
std::string to_string(const Type& type);  // "f32[2, ?]", "int", "bool", "list(f32[?, 4])"

// Shape inference is abstract interpretation by example: every value carries two concrete samples, in which each
// unknown input dimension has two different sizes; a dimension (or host integer) that differs is dynamic. So one
// concrete shape rule per operator is enough, and a call that no input can satisfy is found while building.
struct Sample {
  Dims dims;           // Tensor; List: the shape of its elements
  int64_t number = 0;  // Int; Bool; List: its length
  double real = 0;     // Float
  friend bool operator==(const Sample&, const Sample&) = default;
};
using Samples = std::array<Sample, 2>;

// A size or other host integer in an argument: a constant, or a value of Kind::Int.
using IntArg = std::variant<int64_t, Value>;

// An argument of a call. Tensor? that is absent: std::monostate. Tensor[] : vector<Value> (a null Value stands for
// None inside Tensor?[]), or one Value of Kind::List.
using ArgVariant = std::variant<std::monostate, Value, bool, int64_t, double, DType, std::string, std::vector<IntArg>,
                                std::vector<double>, std::vector<bool>, std::vector<Value>>;

class Int;  // builder.h: a host integer with arithmetic

struct Arg : ArgVariant {
  using ArgVariant::ArgVariant;
  Arg() = default;
  Arg(int v) : ArgVariant(static_cast<int64_t>(v)) {}
  Arg(const char* v) : ArgVariant(std::string(v)) {}
  Arg(const Int& v);
  Arg(const std::vector<Int>& v);
  Arg(const Dims& v) : ArgVariant(std::vector<IntArg>(v.begin(), v.end())) {}
  const ArgVariant& variant() const { return *this; }
};

struct NamedArg {
  std::string name;
  Arg value;
};
using Args = std::vector<NamedArg>;

}  // namespace midstream
