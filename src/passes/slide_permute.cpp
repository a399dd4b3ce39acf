#include "passes/slide_permute.h"

#include <algorithm>
#include <unordered_map>

namespace midstream {
namespace {

using Ints = std::vector<IntArg>;

size_t index(int64_t i) { return static_cast<size_t>(i); }

int64_t axis_of(int64_t axis, size_t rank) { return axis < 0 ? axis + static_cast<int64_t>(rank) : axis; }

void set(Args& args, const std::string& name, Arg value) {
  for (NamedArg& a : args)
    if (a.name == name) {
      a.value = std::move(value);
      return;
    }
  args.push_back({name, std::move(value)});
}

// One constant axis; `missing` where the argument has its default.
std::optional<int64_t> axis_arg(const Node& node, const char* name, size_t rank, int64_t missing) {
  const Arg* arg = node.arg(name);
  if (!arg) return axis_of(missing, rank);
  auto* i = std::get_if<int64_t>(&arg->variant());
  return i ? std::optional(axis_of(*i, rank)) : std::nullopt;
}

std::optional<Perm> axes_arg(const Node& node, const char* name, size_t rank) {
  const Arg* arg = node.arg(name);
  auto* ints = arg ? std::get_if<Ints>(&arg->variant()) : nullptr;
  if (!ints || ints->empty()) return std::nullopt;
  Perm axes;
  for (const IntArg& i : *ints) {
    if (!std::holds_alternative<int64_t>(i)) return std::nullopt;
    axes.push_back(axis_of(std::get<int64_t>(i), rank));
  }
  return axes;
}

std::optional<Permuted> self(const SlideContext& c, const Node& node) {
  const Arg* arg = node.arg("self");
  auto* v = arg ? std::get_if<Value>(&arg->variant()) : nullptr;
  return v ? c.permuted(*v) : std::nullopt;
}

// --- elementwise

// A variable or constant: its views are made once and cost nothing.
bool is_constant(const SlideContext& c, Value v) {
  const LeafKind leaf = c.graph.info(v).leaf;
  return leaf == LeafKind::Variable || leaf == LeafKind::Constant;
}

// What becomes of the operand `w` of an elementwise call when the others lose the permute p.
enum class Fate { Same, Source, Reshaped, Permuted, Impossible };

struct Operand {
  Fate fate = Fate::Impossible;
  Dims dims;  // Reshaped: the new shape; Permuted: the shape of full rank that is permuted
};

// `first` is the permute that the call is to lose.
Operand plan(const SlideContext& c, Value w, const Permuted& first) {
  const Type& type = c.graph.type(w);
  const Perm& p = first.perm;
  const size_t rank = p.size();
  if (type.kind != Kind::Tensor || type.dims.empty()) return {Fate::Same, {}};
  if (auto permuted = c.permuted(w); permuted && permuted->perm == p) return {Fate::Source, {}};
  // In the result's axes, with ones in front; then at most one axis that is not 1 moves to where p takes it.
  Dims full(rank - std::min(rank, type.dims.size()), 1);
  full.insert(full.end(), type.dims.begin(), type.dims.end());
  std::vector<size_t> wide;
  for (size_t i = 0; i < rank; ++i)
    if (full[i] != 1) wide.push_back(i);
  if (wide.empty()) return {Fate::Same, {}};
  if (wide.size() == 1 && full[wide[0]] != kUnknown) {
    Dims dims(rank - index(p[wide[0]]), 1);
    dims[0] = full[wide[0]];
    return {dims == type.dims ? Fate::Same : Fate::Reshaped, dims};
  }
  if (type.dims.size() == rank) {
    // An operand that exists the other way round as well. Only one of p and its inverse may slide for that, or the
    // permutes would slide back the next time.
    const Perm back = inverse_perm(p);
    const bool may = is_constant(c, w) || (p < back && !is_constant(c, first.source));
    return {may && c.can_permute(w, back) ? Fate::Permuted : Fate::Impossible, full};
  }
  // A variable or constant of lower rank (PReLU's slopes): two views of it.
  return {is_constant(c, w) ? Fate::Permuted : Fate::Impossible, full};
}

Value carry_out(const SlideContext& c, Value w, const Perm& p, const Operand& operand) {
  switch (operand.fate) {
    case Fate::Source: return c.permuted(w)->source;
    case Fate::Reshaped: return c.reshape(w, operand.dims);
    case Fate::Permuted:
      return c.permute(c.graph.type(w).dims.size() == p.size() ? w : c.reshape(w, operand.dims), inverse_perm(p));
    default: return w;
  }
}

std::optional<Slid> pointwise_for(const SlideContext& c, const Node& node, const std::vector<Value>& operands,
                                  const Permuted& first) {
  std::vector<Operand> plans;
  for (Value v : operands) {
    plans.push_back(plan(c, v, first));
    if (plans.back().fate == Fate::Impossible) return std::nullopt;
  }
  std::unordered_map<int32_t, Value> sources;
  for (size_t i = 0; i < operands.size(); ++i)
    if (!sources.contains(operands[i].id)) sources[operands[i].id] = carry_out(c, operands[i], first.perm, plans[i]);
  Slid slid{node.args, first.perm};
  for (NamedArg& a : slid.args)  // not replace_operands: a source may itself be an operand
    if (auto* v = std::get_if<Value>(static_cast<ArgVariant*>(&a.value)))
      if (auto it = sources.find(v->id); it != sources.end()) *v = it->second;
  return slid;
}

std::optional<Slid> pointwise(const SlideContext& c, const Node& node) {
  if (node.outputs.size() != 1) return std::nullopt;
  const size_t rank = c.graph.type(node.outputs[0]).dims.size();
  std::vector<Value> operands;
  for_each_operand(node.args, [&](Value v) { operands.push_back(v); });
  // Permutes of what is computed come before permutes of weights.
  for (bool of_constants : {false, true})
    for (Value v : operands) {
      auto first = c.permuted(v);
      if (!first || first->perm.size() != rank || is_constant(c, first->source) != of_constants) continue;
      if (auto slid = pointwise_for(c, node, operands, *first)) return slid;
    }
  return std::nullopt;
}

// --- operators that name axes, by the kinds of Schema::axes

std::optional<Slid> concat(const SlideContext& c, const Node& node) {
  const Arg* arg = node.arg("tensors");
  auto* tensors = arg ? std::get_if<std::vector<Value>>(&arg->variant()) : nullptr;
  if (!tensors || tensors->empty()) return std::nullopt;
  std::vector<Value> sources;
  std::optional<Perm> perm;
  for (Value v : *tensors) {
    auto p = c.permuted(v);
    if (!p || (perm && *perm != p->perm)) return std::nullopt;
    perm = p->perm;
    sources.push_back(p->source);
  }
  auto axis = axis_arg(node, "dim", perm->size(), 0);
  if (!axis) return std::nullopt;
  Slid slid{node.args, *perm};
  set(slid.args, "tensors", std::move(sources));
  set(slid.args, "dim", (*perm)[index(*axis)]);
  return slid;
}

std::optional<Slid> pad(const SlideContext& c, const Node& node) {
  auto p = self(c, node);
  const Arg* arg = node.arg("pad");
  auto* pads = arg ? std::get_if<Ints>(&arg->variant()) : nullptr;
  if (!p || !pads) return std::nullopt;
  const size_t rank = p->perm.size();
  Ints moved(2 * rank, IntArg(int64_t{0}));
  for (size_t i = 0; i + 1 < pads->size(); i += 2) {  // pairs, from the last axis on
    const size_t to = rank - 1 - index(p->perm[rank - 1 - i / 2]);
    moved[2 * to] = (*pads)[i];
    moved[2 * to + 1] = (*pads)[i + 1];
  }
  const IntArg zero = int64_t{0};
  while (moved.size() >= 2 && moved.back() == zero && moved[moved.size() - 2] == zero) moved.resize(moved.size() - 2);
  Slid slid{node.args, p->perm};
  set(slid.args, "self", p->source);
  set(slid.args, "pad", std::move(moved));
  return slid;
}

std::optional<Slid> reduce(const SlideContext& c, const Node& node) {
  auto p = self(c, node);
  if (!p) return std::nullopt;
  const size_t rank = p->perm.size();
  auto axes = axes_arg(node, "dim", rank);
  if (!axes) return std::nullopt;
  const Arg* keep = node.arg("keepdim");
  const bool keepdim = keep && std::get<bool>(keep->variant());
  Perm source_axes;
  for (int64_t a : *axes) source_axes.push_back(p->perm[index(a)]);
  std::sort(source_axes.begin(), source_axes.end());
  Slid slid{node.args, p->perm};
  set(slid.args, "self", p->source);
  set(slid.args, "dim", Dims(source_axes));
  if (keepdim) return slid;
  auto place = [&](int64_t source_axis) {  // among the source's axes that stay
    return source_axis -
           std::count_if(source_axes.begin(), source_axes.end(), [&](int64_t a) { return a < source_axis; });
  };
  slid.after.clear();
  for (size_t i = 0; i < rank; ++i)
    if (std::find(axes->begin(), axes->end(), static_cast<int64_t>(i)) == axes->end())
      slid.after.push_back(place(p->perm[i]));
  return slid;
}

std::optional<Slid> along_one(const SlideContext& c, const Node& node) {
  auto p = self(c, node);
  if (!p) return std::nullopt;
  auto axis = axis_arg(node, "dim", p->perm.size(), 0);
  if (!axis) return std::nullopt;
  Slid slid{node.args, p->perm};
  set(slid.args, "self", p->source);
  set(slid.args, "dim", p->perm[index(*axis)]);
  return slid;
}

std::optional<Slid> along_some(const SlideContext& c, const Node& node) {
  auto p = self(c, node);
  if (!p) return std::nullopt;
  auto axes = axes_arg(node, "dims", p->perm.size());
  if (!axes) return std::nullopt;
  Dims source_axes;
  for (int64_t a : *axes) source_axes.push_back(p->perm[index(a)]);
  Slid slid{node.args, p->perm};
  set(slid.args, "self", p->source);
  set(slid.args, "dims", source_axes);
  return slid;
}

}  // namespace

bool is_identity(const Perm& perm) {
  for (size_t i = 0; i < perm.size(); ++i)
    if (perm[i] != static_cast<int64_t>(i)) return false;
  return true;
}

Perm inverse_perm(const Perm& perm) {
  Perm out(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) out[index(perm[i])] = static_cast<int64_t>(i);
  return out;
}

Perm compose(const Perm& first, const Perm& second) {
  Perm out;
  for (int64_t axis : second) out.push_back(first[index(axis)]);
  return out;
}

std::optional<Slid> slide(const SlideContext& context, const Schema& schema, const Node& node) {
  if (schema.random) return std::nullopt;
  if (schema.pointwise) return pointwise(context, node);
  switch (schema.axes) {
    case Axes::Unknown: return std::nullopt;
    case Axes::Cat: return concat(context, node);
    case Axes::Pad: return pad(context, node);
    case Axes::Reduce: return reduce(context, node);
    case Axes::Dim: return along_one(context, node);
    case Axes::Dims: return along_some(context, node);
  }
  return std::nullopt;
}

}  // namespace midstream
