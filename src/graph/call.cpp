// Calls: outputs by example, and the node. The Dialect gives the concrete results for both samples of the arguments;
// here they become one type.
#include "graph/call.h"

#include <algorithm>

#include "base/error.h"
#include "graph/builder_names.h"

namespace midstream {
namespace {

std::string in_our_words(const Graph& graph, const BoundCall& call) {
  std::string text = call.schema->name + "(";
  for (size_t i = 0; i < call.args.size(); ++i)
    text += (i ? ", " : "") + call.args[i].name + "=" + describe(graph, call.args[i].value);
  return text + ")";
}

std::vector<SampleOutput> infer_once(const Graph& graph, const Dialect& dialect, const BoundCall& call, size_t s,
                                     const std::string& where, bool* is_list) {
  try {
    return dialect.infer(*call.schema, call.samples[s], is_list);
  } catch (const Error& e) {
    throw Error(e.kind(), where, in_our_words(graph, call) + " is not possible: " + e.message(), e.hint());
  }
}

// What two examples of one result say about it.
ValueInfo merge(const Graph& graph, const std::array<SampleOutput, 2>& outs, const std::string& op,
                const std::string& where) {
  const auto& [a, b] = outs;
  if (a.kind != b.kind || a.dtype != b.dtype || a.sample.dims.size() != b.sample.dims.size())
    throw Error(ErrorKind::Unsupported, where, "the type or rank of what " + op + " gives depends on an unknown size.");
  ValueInfo info;
  info.type = Type{a.kind, a.dtype, a.sample.dims};
  for (size_t i = 0; i < info.type.dims.size(); ++i)
    if (a.sample.dims[i] != b.sample.dims[i]) info.type.dims[i] = kUnknown;
  info.samples = {a.sample, b.sample};
  const Samples fallback = default_samples(graph, info.type);
  for (size_t s = 0; s < 2; ++s) {
    Sample& sample = info.samples[s];
    const bool blank_list = a.kind == Kind::List && info.type.dims == Dims{kUnknown};
    for (size_t i = 0; i < sample.dims.size(); ++i)
      if (sample.dims[i] == kUnknown && !blank_list) sample.dims[i] = fallback[s].dims[i];
    if (a.data_dependent || (a.kind == Kind::List && sample.number == kUnknown)) {
      sample.number = fallback[s].number;
      sample.real = fallback[s].real;
    }
  }
  return info;
}

// Both samples are larger than most bounds, so that x[:, :128] has 128 columns in either; but a shorter x has fewer.
// Where a bound hides an unknown size, the second sample becomes what a shorter input would give.
int64_t below(int64_t bound) { return bound - std::max<int64_t>(1, bound / 4); }

void unhide_slice(const Graph& graph, const BoundCall& call, ValueInfo& info) {
  const auto* self = std::get_if<Value>(&call.args.at(0).value.variant());
  const auto* dim = std::get_if<int64_t>(&call.samples[0][1]);
  if (!self || !dim) return;
  const Dims& from = graph.type(*self).dims;
  const size_t axis = static_cast<size_t>(*dim < 0 ? *dim + static_cast<int64_t>(from.size()) : *dim);
  // One element (the last step, the first row) is there in every input that is not empty.
  if (axis >= from.size() || from[axis] != kUnknown || info.type.dims[axis] <= 1) return;
  info.samples[1].dims[axis] = below(info.type.dims[axis]);
  info.type.dims[axis] = kUnknown;
}

void unhide_minimum(const BoundCall& call, ValueInfo& info) {
  if (call.samples[0] == call.samples[1] || info.samples[0].number != info.samples[1].number) return;
  if (info.samples[0].number > 1) info.samples[1].number = below(info.samples[0].number);
}

}  // namespace

CallOutputs infer_outputs(const Graph& graph, const Dialect& dialect, const BoundCall& call, const std::string& where) {
  CallOutputs out;
  bool is_list[2] = {false, false};
  auto a = infer_once(graph, dialect, call, 0, where, &is_list[0]);
  // Where both examples are the same there is nothing to learn from the second.
  auto b = call.samples[0] == call.samples[1] ? a : infer_once(graph, dialect, call, 1, where, &is_list[1]);
  if (a.size() != b.size())
    throw Error(ErrorKind::Unsupported, where,
                call.schema->name + " gives a number of tensors that depends on an unknown size.");
  out.is_list = is_list[0];
  for (size_t i = 0; i < a.size(); ++i)
    out.infos.push_back(merge(graph, {std::move(a[i]), std::move(b[i])}, call.schema->name, where));
  if (call.schema->name == op::kSlice) unhide_slice(graph, call, out.infos.at(0));
  if (call.schema->name == op::kIntMin) unhide_minimum(call, out.infos.at(0));
  return out;
}

std::unique_ptr<Node> make_call(Graph& graph, const Dialect& dialect, const std::string& op, const Args& args,
                                int32_t origin) {
  const std::string where = origin < 0 ? std::string() : to_string(graph.origins[static_cast<size_t>(origin)]);
  BoundCall call = bind_call(graph, dialect, op, args, where);
  CallOutputs outputs = infer_outputs(graph, dialect, call, where);
  auto node = std::make_unique<Node>();
  node->op = call.schema->name;
  node->args = std::move(call.args);
  node->unpacks_list = outputs.is_list;
  node->origin = origin;
  for (ValueInfo& info : outputs.infos) node->outputs.push_back(graph.add_value(std::move(info)));
  return node;
}

std::vector<Value> append_call(Graph& graph, Block& block, const Dialect& dialect, const std::string& op,
                               const Args& args, int32_t origin) {
  block.nodes.push_back(make_call(graph, dialect, op, args, origin));
  return block.nodes.back()->outputs;
}

}  // namespace midstream
