// The few operators that the IR itself gives a meaning: views, the size of a tensor, what bounds a size, and the way
// from a host integer to a tensor and back. Passes know these names and no others.
#pragma once

namespace midstream::op {

inline constexpr const char* kPermute = "aten::permute";                 // (self, dims)
inline constexpr const char* kReshape = "aten::reshape";                 // (self, shape)
inline constexpr const char* kSize = "aten::sym_size.int";               // (self, dim)
inline constexpr const char* kSlice = "aten::slice.Tensor";              // (self, dim, start, end, step)
inline constexpr const char* kIntMin = "midstream::int_min";             // (a, b)
inline constexpr const char* kIntToTensor = "midstream::int_to_tensor";  // (a)
inline constexpr const char* kTensorToInt = "midstream::tensor_to_int";  // (a)

}  // namespace midstream::op
