// Concrete shape rules for the operators whose meta kernels PyTorch registers from Python only (convolutions,
// normalizations, embedding, attention, recurrent), and for our own ops. Everything else is asked of the C++ meta
// kernels.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>

#include "graph/dialect.h"

namespace midstream {

// Arguments in schema order, defaults filled in; throws Error(Mismatch) when no such call is possible.
using ShapeRule = std::function<std::vector<SampleOutput>(const std::vector<SampleArg>& args)>;

class ShapeRules {
 public:
  void add(const std::string& op, ShapeRule rule);  // "aten::conv2d", "midstream::batch_norm"; twice is an error
  const ShapeRule* find(const std::string& op) const;

 private:
  std::unordered_map<std::string, ShapeRule> rules_;
};

// --- for writing rules
inline const SampleTensor& tensor(const SampleArg& a) { return std::get<SampleTensor>(a); }
inline bool is_none(const SampleArg& a) { return std::holds_alternative<std::monostate>(a); }
inline const std::vector<int64_t>& ints(const SampleArg& a) { return std::get<std::vector<int64_t>>(a); }
inline int64_t integer(const SampleArg& a) { return std::get<int64_t>(a); }
inline bool boolean(const SampleArg& a) { return std::get<bool>(a); }
inline SampleOutput output(DType dtype, Dims dims) {
  return {Kind::Tensor, dtype, Sample{.dims = std::move(dims), .number = 0, .real = 0}};
}
[[noreturn]] void bad_shape(const std::string& message);  // Error(Mismatch)

void register_aten_shapes(ShapeRules& rules);    // aten_shapes.cpp
void register_reduce_shapes(ShapeRules& rules);  // reduce_shapes.cpp
// The shape to which the tensors among the arguments broadcast; elementwise_shapes.cpp.
Dims broadcast_shape(const std::vector<SampleArg>& args);

}  // namespace midstream
