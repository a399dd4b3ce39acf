// Slice, StridedSlice with all its masks, and padding.
#include <algorithm>

#include "lower/registry.h"
#include "lower/tensorflow/fold.h"

namespace midstream::tensorflow {
namespace {

void slice(Op& op) {  // input, begin, size; a size of -1 is the rest
  op.expect_attrs({});
  Ints begin = op.ints(1), size = op.ints(2);
  const bool rest = !size.empty() && size[0].is_constant() && size[0].constant() == -1;
  if (op.is_host(0) && begin.at(0).is_constant() && (rest || size.at(0).is_constant())) {
    HostInts h = op.host(0);
    const int64_t from = begin[0].constant(), n = static_cast<int64_t>(h.values.size());
    const int64_t to = rest ? n : from + size[0].constant();
    if (from < 0 || to > n) op.fail(ErrorKind::BadFile, "slices outside of its input.");
    h.values = Ints(h.values.begin() + from, h.values.begin() + to);
    return op.output(h);
  }
  Value x = op.input(0);
  for (size_t i = 0; i < begin.size(); ++i) {
    const int64_t dim = static_cast<int64_t>(i);
    const bool to_end = size[i].is_constant() && size[i].constant() == -1;
    const bool whole = begin[i].is_constant() && begin[i].constant() == 0 &&
                       (to_end || (size[i].is_constant() && size[i].constant() == op.b.dims(x)[i]));
    if (!whole) x = op.b.slice(x, dim, begin[i], to_end ? op.b.size(x, dim) : begin[i] + size[i]);
  }
  op.output(x);
}

// --- StridedSlice

struct Range {
  std::optional<Int> begin, end;  // absent: masked
  int64_t step = 1;
  bool shrink = false, new_axis = false, ellipsis = false;
};

std::vector<Range> ranges_of(Op& op) {
  Ints begin = op.ints(1), end = op.ints(2), step = op.ints(3);
  auto mask = [&](const char* name, size_t i) { return (op.integer(name, 0) >> i & 1) != 0; };
  std::vector<Range> out(begin.size());
  for (size_t i = 0; i < out.size(); ++i) {
    Range& r = out[i];
    if (!step[i].is_constant()) op.fail(ErrorKind::Unsupported, "has a step that is only known at run time.");
    r.step = step[i].constant();
    r.ellipsis = mask("ellipsis_mask", i);
    r.new_axis = !r.ellipsis && mask("new_axis_mask", i);
    r.shrink = !r.ellipsis && !r.new_axis && mask("shrink_axis_mask", i);
    if (!mask("begin_mask", i) || r.shrink) r.begin = begin[i];
    if (!mask("end_mask", i)) r.end = end[i];
  }
  return out;
}

// An index counted from the end, where we know it.
Int positive(const Int& index, const Int& n) { return index.is_constant() && index.constant() < 0 ? index + n : index; }

Value slice_axis(Builder& b, Value x, int64_t dim, const Range& r) {
  const Int n = b.size(x, dim);
  if (r.step > 0) {  // aten counts negative indices from the end and clips, as TensorFlow does
    if (!r.begin && !r.end && r.step == 1) return x;
    return b.slice(x, dim, r.begin.value_or(Int(0)), r.end ? *r.end : n, r.step);
  }
  // Backwards: the same of the flipped axis, whose index is n - 1 - i.
  x = b.flip(x, {dim});
  Int from = r.begin ? max(n - 1 - positive(*r.begin, n), 0) : Int(0);
  Int to = r.end ? max(n - 1 - positive(*r.end, n), 0) : n;
  return b.slice(x, dim, from, to, -r.step);
}

// Of host integers: the plain forms x[i], x[i:j:k].
std::optional<HostInts> slice_host(Op& op, const std::vector<Range>& ranges) {
  HostInts h = op.host(0);
  if (h.rank != 1 || ranges.size() != 1 || ranges[0].ellipsis || ranges[0].new_axis) return std::nullopt;
  const Range& r = ranges[0];
  if ((r.begin && !r.begin->is_constant()) || (r.end && !r.end->is_constant())) return std::nullopt;
  const int64_t n = static_cast<int64_t>(h.values.size());
  auto at = [&](const std::optional<Int>& i, int64_t otherwise) {
    return !i ? otherwise : i->constant() < 0 ? i->constant() + n : i->constant();
  };
  if (r.shrink) {
    const int64_t i = at(r.begin, 0);
    if (i < 0 || i >= n)
      op.fail(ErrorKind::BadFile, "takes element " + std::to_string(i) + " of " + std::to_string(n) + ".");
    return HostInts{{h.values[static_cast<size_t>(i)]}, 0, h.dtype};
  }
  HostInts out{{}, 1, h.dtype};
  if (r.step > 0)
    for (int64_t i = std::max<int64_t>(at(r.begin, 0), 0); i < std::min(at(r.end, n), n); i += r.step)
      out.values.push_back(h.values[static_cast<size_t>(i)]);
  else
    for (int64_t i = std::min(at(r.begin, n - 1), n - 1); i > std::max<int64_t>(at(r.end, -1), -1); i += r.step)
      out.values.push_back(h.values[static_cast<size_t>(i)]);
  return out;
}

void strided_slice(Op& op) {
  op.expect_attrs({"begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"});
  std::vector<Range> ranges = ranges_of(op);
  if (op.is_host(0))
    if (auto folded = slice_host(op, ranges)) return op.output(*folded);
  Value x = op.input(0);
  int64_t consumed = 0;
  for (const Range& r : ranges) consumed += !r.ellipsis && !r.new_axis;
  const int64_t rest = op.b.rank(x) - consumed;
  int64_t dim = 0;
  for (const Range& r : ranges) {
    if (r.ellipsis) {
      dim += rest;
    } else if (r.new_axis) {
      x = op.b.unsqueeze(x, dim++);
    } else if (r.shrink) {
      x = op.b.select(x, dim, *r.begin);
    } else {
      x = slice_axis(op.b, x, dim, r);
      ++dim;
    }
  }
  op.output(x);
}

// --- padding

// Before and after each axis.
std::vector<std::pair<Int, Int>> paddings(Op& op) {
  Ints flat = flat_ints(op, 1);
  std::vector<std::pair<Int, Int>> out;
  for (size_t i = 0; i + 1 < flat.size(); i += 2) out.emplace_back(flat[i], flat[i + 1]);
  return out;
}

void pad(Op& op) {  // input, paddings, and PadV2's value
  op.expect_attrs({});
  auto pads = paddings(op);
  double value = 0;
  if (op.size() > 2) value = op.constant(2).to_double().at(0);
  Ints last_first;
  for (auto p = pads.rbegin(); p != pads.rend(); ++p) last_first.insert(last_first.end(), {p->first, p->second});
  op.output(op.b.pad(op.input(0), last_first, value));
}

// REFLECT leaves the edge out, SYMMETRIC repeats it. Flipped slices: every rank, and autograd adds up what was
// repeated.
void mirror_pad(Op& op) {
  op.expect_attrs({"mode"});
  const int64_t skip = op.text("mode") == "REFLECT" ? 1 : 0;
  Value x = op.input(0);
  auto pads = paddings(op);
  for (size_t i = 0; i < pads.size(); ++i) {
    const int64_t dim = static_cast<int64_t>(i);
    const auto& [before, after] = pads[i];
    auto zero = [](const Int& n) { return n.is_constant() && n.constant() == 0; };
    const Int n = op.b.size(x, dim);
    Values parts;
    if (!zero(before)) parts.push_back(op.b.flip(op.b.slice(x, dim, skip, before + skip), {dim}));
    parts.push_back(x);
    if (!zero(after)) parts.push_back(op.b.flip(op.b.slice(x, dim, n - after - skip, n - skip), {dim}));
    x = op.b.concat(parts, dim);
  }
  op.output(x);
}

}  // namespace

void register_slice(Registry& r) {
  r.tf("Slice", slice);
  r.tf("StridedSlice", strided_slice);
  r.tf("Pad", pad);
  r.tf("PadV2", pad);
  r.tf("MirrorPad", mirror_pad);
}

}  // namespace midstream::tensorflow
