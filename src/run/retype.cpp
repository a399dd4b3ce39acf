#include "run/retype.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "libtorch/convert.h"

namespace midstream {
namespace {

bool is_float_tensor(const Type& t) { return (t.kind == Kind::Tensor || t.kind == Kind::List) && is_floating(t.dtype); }

// Shapes do not depend on the dtype, so the samples stay.
void retype(Block& block, DType to) {
  for (auto& node : block.nodes) {
    for (NamedArg& a : node->args) {
      ArgVariant& variant = a.value;
      if (auto* dtype = std::get_if<DType>(&variant); dtype && is_floating(*dtype)) *dtype = to;
    }
    for (Block& inner : node->blocks) retype(inner, to);
  }
}

}  // namespace

bool has_floats_of_only(const Graph& graph, DType dtype) {
  for (const ValueInfo& info : graph.values)
    if (is_float_tensor(info.type) && info.type.dtype != dtype) return false;
  return true;
}

std::unique_ptr<Graph> with_floats_of(const Graph& graph, DType to) {
  if (!is_floating(to)) throw Error(ErrorKind::Usage, graph.name, "computes with floating-point numbers only.");
  auto out = graph.clone();
  for (ValueInfo& info : out->values) {
    if (!is_float_tensor(info.type)) continue;
    info.type.dtype = to;
    if (info.leaf != LeafKind::Constant) continue;
    Array& constant = out->constants[static_cast<size_t>(info.index)];
    if (constant.dtype() != to) constant = to_array(to_tensor(constant).to(to_scalar_type(to)));
  }
  retype(out->body, to);
  return out;
}

}  // namespace midstream
