#include "emit/node_view.h"

#include <algorithm>

namespace midstream::emit {
namespace {

void index_block(const Block& block, GraphIndex& index) {
  for (const auto& node : block.nodes) {
    for (const Value v : node->outputs) index.definitions[v.id] = node.get();
    for_each_operand(node->args, [&](Value v) { ++index.uses[v.id]; });
    for (const Block& inner : node->blocks) index_block(inner, index);
  }
  for (const Value v : block.results) ++index.uses[v.id];
}

}  // namespace

GraphIndex::GraphIndex(const Graph& graph) {
  index_block(graph.body, *this);
  for (const Output& output : graph.outputs) ++uses[output.value.id];
}

Value GraphIndex::resolve(Value v) const {
  for (auto it = aliases.find(v.id); it != aliases.end(); it = aliases.find(v.id)) v = it->second;
  return v;
}

bool NodeView::is_used(size_t output) const {
  return output < node.outputs.size() && index.uses.contains(node.outputs[output].id);
}

std::optional<NodeView> NodeView::definition(Value v, std::string_view op) const {
  const auto it = index.definitions.find(v.id);
  if (!v || it == index.definitions.end() || it->second->op != op) return std::nullopt;
  return NodeView(graph, index, *it->second);
}

bool NodeView::has(std::string_view name) const {
  const Arg* a = node.arg(name);
  return a && !std::holds_alternative<std::monostate>(a->variant());
}

Value NodeView::value(std::string_view name) const {
  const Arg* a = node.arg(name);
  const Value* v = a ? std::get_if<Value>(&a->variant()) : nullptr;
  return v ? index.resolve(*v) : Value{};
}

std::vector<Value> NodeView::values(std::string_view name) const {
  const Arg* a = node.arg(name);
  if (!a) return {};
  std::vector<Value> out;
  if (auto* vs = std::get_if<std::vector<Value>>(&a->variant()))
    for (const Value v : *vs) out.push_back(index.resolve(v));
  return out;
}

int64_t NodeView::integer(std::string_view name, int64_t otherwise) const {
  const Arg* a = node.arg(name);
  if (!a) return otherwise;
  if (auto* i = std::get_if<int64_t>(&a->variant())) return *i;
  if (auto* b = std::get_if<bool>(&a->variant())) return *b;
  return otherwise;
}

double NodeView::number(std::string_view name, double otherwise) const {
  const Arg* a = node.arg(name);
  if (!a) return otherwise;
  if (auto* d = std::get_if<double>(&a->variant())) return *d;
  return static_cast<double>(integer(name, static_cast<int64_t>(otherwise)));
}

bool NodeView::flag(std::string_view name, bool otherwise) const {
  const Arg* a = node.arg(name);
  const bool* b = a ? std::get_if<bool>(&a->variant()) : nullptr;
  return b ? *b : otherwise;
}

std::optional<std::vector<int64_t>> NodeView::ints(std::string_view name, std::vector<int64_t> otherwise) const {
  const Arg* a = node.arg(name);
  if (!a) return otherwise;
  if (auto* i = std::get_if<int64_t>(&a->variant())) return std::vector<int64_t>{*i};
  const auto* list = std::get_if<std::vector<IntArg>>(&a->variant());
  if (!list) return std::nullopt;
  std::vector<int64_t> out;
  for (const IntArg& i : *list) {
    const int64_t* constant = std::get_if<int64_t>(&i);
    if (!constant) return std::nullopt;
    out.push_back(*constant);
  }
  return out;
}

std::pair<int64_t, int64_t> NodeView::examples(Value v, size_t axis) const {
  const Samples& s = graph.info(v).samples;
  const Dims& dims = graph.type(v).dims;
  if (dims.at(axis) != kUnknown) return {dims[axis], dims[axis]};
  if (s[0].dims.size() <= axis) return {kUnknown, kUnknown};
  return {s[0].dims[axis], s[1].dims[axis]};
}

Literal compact(const std::vector<int64_t>& numbers) {
  if (!numbers.empty() && std::all_of(numbers.begin(), numbers.end(), [&](int64_t n) { return n == numbers[0]; }))
    return numbers[0];
  return numbers;
}

}  // namespace midstream::emit
