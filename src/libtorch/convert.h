// Between midstream's arguments and PyTorch's IValues.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

#include "graph/graph.h"

namespace midstream {

c10::ScalarType to_scalar_type(DType dtype);  // throws Error(Unsupported) for String
DType from_scalar_type(c10::ScalarType dtype);
// A constant argument (no Value inside) as the schema's type wants it.
c10::IValue to_ivalue(const Arg& arg, const c10::Argument& declared);
// A schema's default as an argument; monostate for None.
Arg from_ivalue(const c10::IValue& value);
// A tensor over the array's bytes, kept alive by it (no copy). Writing to it needs a copy-on-write mapping.
at::Tensor to_tensor(const Array& array);
// Strings as bytes: uint8[..., width], filled up with zeros.
at::Tensor text_tensor(const Array& array);
Array to_array(const at::Tensor& tensor);     // contiguous copy on the CPU (no copy if it is so already)
Array cast(const Array& array, DType dtype);  // itself where it has the dtype; throws Error(Unsupported) for String
at::Tensor apply(const Transforms& chain, at::Tensor tensor);  // views where possible

// The message of a c10::Error without backtrace and boilerplate.
std::string torch_message(const std::exception& error);

}  // namespace midstream
