// What keras.ops are called with: tensors of the graph, numbers, and arrays that stand in the file
// ({"class_name": "__numpy__", "config": {"value", "dtype"}}, "__tensor__" likewise, or plain nested lists).
#pragma once

#include <optional>

#include "lower/keras/layer.h"

namespace midstream::keras {

// The dtype of the result of two tensors, as Keras 3 has it.
DType promoted(DType a, DType b);
// A float stays, everything else becomes float32.
DType float_dtype(DType dtype);
Value as_float(Builder& b, Value v);
Value as_bool(Builder& b, Value v);

// An array as it stands in a file. Without a dtype of its own (a plain list) it is `weak`: it takes that of the tensor
// that it meets; `dtype` is what its numbers are otherwise.
struct Literal {
  json value;
  DType dtype = DType::Float32;
  bool weak = true;
};
// Null for what is no number, list of numbers or array.
std::optional<Literal> literal_of(const json& data);
// The dtype of `literal` beside a tensor of `other`.
DType beside(const Literal& literal, DType other);
Value constant_of(Builder& b, const json& numbers, DType dtype);

// The argument at `position` or by `name`.
bool is_given(const Call& call, size_t position, const std::string& name);
const json* data_of(const Call& call, size_t position, const std::string& name);  // null where it is a tensor
// As a tensor, whatever its form; null if it is not given. A weak array gets `dtype`.
Value operand(Layer& l, const Call& call, size_t position, const std::string& name,
              std::optional<DType> dtype = std::nullopt);
// Two arguments as tensors of one dtype.
struct Pair {
  Value x, y;
};
Pair operands(Layer& l, const Call& call, const char* first, const char* second);
// The list of tensors at `position`, constants among them, all of one dtype.
Values operand_list(Layer& l, const Call& call, size_t position, const std::string& name);
// A shape and the like: the config's entry `name` or the argument, in which sizes of tensors may stand.
Ints int_list(Layer& l, const Call& call, size_t position, const std::string& name);
Int int_of(Layer& l, Value v);
// A tensor of sizes, of rank 0 or 1, of which the host remembers what it holds.
Value size_tensor(Layer& l, const Ints& sizes, int64_t rank, DType dtype = DType::Int32);

// The entry "axis" (or another), positive and sorted; all axes where it is null.
std::vector<int64_t> axes_of(const Layer& l, Value v, const char* entry = "axis");
inline Tensors one(Value v) { return {{v, {}}}; }

}  // namespace midstream::keras
