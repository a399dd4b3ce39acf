// The shape rule of elementwise operators that have no C++ meta kernel (relu, where, ...): their tensors broadcast, and
// the result has the dtype that PyTorch promotes them to. Conditions (the bool among numbers) do not count there.
#include <c10/core/ScalarType.h>

#include <algorithm>

#include "libtorch/convert.h"
#include "libtorch/shape_rules.h"

namespace midstream {
namespace {

Dims broadcast(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) bad_shape("shapes " + to_string(a) + " and " + to_string(b) + " do not broadcast.");
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace

std::vector<SampleOutput> elementwise_shape(const std::vector<SampleArg>& args) {
  Dims dims;
  // As PyTorch: tensors with axes decide, 0-d ones only among themselves (of the same kind of number).
  std::optional<c10::ScalarType> with_axes, without;
  for (const SampleArg& arg : args) {
    const auto* t = std::get_if<SampleTensor>(&arg);
    if (!t) continue;
    dims = broadcast(dims, t->dims);
    if (t->dtype == DType::Bool) continue;
    auto& so_far = t->dims.empty() ? without : with_axes;
    so_far = so_far ? c10::promoteTypes(*so_far, to_scalar_type(t->dtype)) : to_scalar_type(t->dtype);
  }
  c10::ScalarType dtype = with_axes.value_or(without.value_or(c10::ScalarType::Bool));
  if (with_axes && without && c10::isFloatingType(*without) && !c10::isFloatingType(*with_axes)) dtype = *without;
  return {output(from_scalar_type(dtype), dims)};
}

}  // namespace midstream
