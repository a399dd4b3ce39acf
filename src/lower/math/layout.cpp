#include "lower/math/layout.h"

#include <algorithm>
#include <numeric>

namespace midstream::math {

Value to_channels_first(Builder& b, Value x, Layout layout) {
  if (layout == Layout::ChannelsFirst) return x;
  std::vector<int64_t> perm(static_cast<size_t>(b.rank(x)));
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.begin() + 1, perm.end() - 1, perm.end());
  return b.permute(x, perm);
}

Value from_channels_first(Builder& b, Value x_ncs, Layout layout) {
  if (layout == Layout::ChannelsFirst) return x_ncs;
  std::vector<int64_t> perm(static_cast<size_t>(b.rank(x_ncs)));
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.begin() + 1, perm.begin() + 2, perm.end());
  return b.permute(x_ncs, perm);
}

Value along_axis(Builder& b, Value vector, int64_t axis, int64_t rank) {
  if (axis < 0) axis += rank;
  if (axis == rank - 1) return vector;
  Ints shape(static_cast<size_t>(rank - axis), Int(1));
  shape[0] = b.size(vector, 0);
  return b.reshape(vector, shape);
}

Value bias_add(Builder& b, Value x, Value bias, Layout layout) {
  return b.add(x, along_axis(b, bias, layout == Layout::ChannelsLast ? -1 : 1, b.rank(x)));
}

int64_t axis_of(Builder& b, Value x, int64_t axis) {
  int64_t rank = b.rank(x), positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank)
    b.fail(ErrorKind::Mismatch, "axis " + std::to_string(axis) + " of a tensor of shape " + to_string(b.dims(x)) + ".");
  return positive;
}

std::vector<int64_t> axes_of(Builder& b, Value x, std::vector<int64_t> axes) {
  for (int64_t& axis : axes) axis = axis_of(b, x, axis);
  std::sort(axes.begin(), axes.end());
  return axes;
}

double through_float32(Builder& b, Value x, double number) {
  return b.dtype(x) == DType::Float64 ? static_cast<double>(static_cast<float>(number)) : number;
}

}  // namespace midstream::math
