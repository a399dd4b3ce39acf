// Joining examples. A dimension (or host number) is known where all examples agree; joined values keep one example of
// each way, so that what is built on them is a call that can really happen.
#include "base/error.h"
#include "graph/call.h"

namespace midstream {
namespace {

[[noreturn]] void different(const std::string& where, const Type& a, const Type& b, const std::string& what) {
  throw Error(ErrorKind::Mismatch, where, what + ": " + to_string(a) + " and " + to_string(b) + ".");
}

// A list that nothing was put into yet says nothing about its elements.
bool is_blank(const ValueInfo& info) {
  return info.type.kind == Kind::List && info.type.dims.size() == 1 && info.type.dims[0] == kUnknown &&
         info.samples[0].dims == Dims{kUnknown};
}

// `a` where both say the same, unknown dimensions elsewhere.
ValueInfo join(const ValueInfo& a, const ValueInfo& b, const std::string& where, const std::string& what) {
  if (is_blank(a)) return b;
  if (is_blank(b)) return a;
  if (a.type.kind != b.type.kind) different(where, a.type, b.type, what);
  ValueInfo out;
  out.type = a.type;
  out.samples = {a.samples[0], b.samples[1]};
  if (a.type.kind != Kind::Tensor && a.type.kind != Kind::List) {
    if (a.samples == b.samples) out.samples = a.samples;
    return out;
  }
  if (a.type.dtype != b.type.dtype || a.type.dims.size() != b.type.dims.size()) different(where, a.type, b.type, what);
  for (size_t i = 0; i < a.type.dims.size(); ++i)
    if (a.type.dims[i] != b.type.dims[i]) out.type.dims[i] = kUnknown;
  return out;
}

}  // namespace

ValueInfo merge_branches(const ValueInfo& then_info, const ValueInfo& else_info, const std::string& where) {
  return join(then_info, else_info, where, "the two branches of a condition give different types");
}

ValueInfo merge_carried(const ValueInfo& carried, const ValueInfo& init, const ValueInfo& next,
                        const std::string& where) {
  const std::string what = "a loop changes the type of a value that it carries";
  if (is_blank(carried) && !is_blank(next)) {
    ValueInfo out = next;
    out.leaf = LeafKind::None;
    for (size_t s = 0; s < 2; ++s) out.samples[s].number = s == 0 ? 6 : 10;
    return out;
  }
  ValueInfo joined = join(carried, next, where, what);
  ValueInfo out;
  out.type = joined.type;
  out.samples = carried.samples;
  const bool counts = carried.type.kind == Kind::Int || carried.type.kind == Kind::Float;
  if (out.type == carried.type) {
    // The first example is the first round, the second one the round after: a counter starts as {0, 1}.
    if (counts && carried.samples == init.samples && next.samples != carried.samples) out.samples[1] = next.samples[1];
    if (carried.type.kind == Kind::List && next.samples != carried.samples && carried.samples == init.samples)
      for (size_t s = 0; s < 2; ++s) out.samples[s].number = s == 0 ? 6 : 10;
    return out;
  }
  for (size_t i = 0; i < out.type.dims.size(); ++i)
    if (carried.type.dims[i] != out.type.dims[i]) out.samples[1].dims[i] = next.samples[1].dims[i];
  return out;
}

}  // namespace midstream
