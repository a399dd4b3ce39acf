// The shape of an elementwise operator's result: that to which its tensors broadcast.
#include <algorithm>

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

Dims broadcast_shape(const std::vector<SampleArg>& args) {
  Dims dims;
  for (const SampleArg& arg : args)
    if (const auto* t = std::get_if<SampleTensor>(&arg)) dims = broadcast(dims, t->dims);
  return dims;
}

}  // namespace midstream
