// Graph's own small functions: types as text, deep copies, replacing values.
#include "graph/graph.h"

#include <atomic>

namespace midstream {
namespace {

std::unique_ptr<Node> copy(const Node& node);

Block copy(const Block& block) {
  Block out;
  out.args = block.args;
  out.results = block.results;
  for (const auto& node : block.nodes) out.nodes.push_back(copy(*node));
  return out;
}

std::unique_ptr<Node> copy(const Node& node) {
  auto out = std::make_unique<Node>();
  out->kind = node.kind;
  out->op = node.op;
  out->args = node.args;
  out->outputs = node.outputs;
  out->unpacks_list = node.unpacks_list;
  out->origin = node.origin;
  for (const Block& block : node.blocks) out->blocks.push_back(copy(block));
  return out;
}

// A replacement may itself have been replaced.
Value resolve(Value v, const std::unordered_map<int32_t, Value>& replacements) {
  for (auto it = replacements.find(v.id); it != replacements.end(); it = replacements.find(v.id)) v = it->second;
  return v;
}

void replace_in(Block& block, const std::unordered_map<int32_t, Value>& replacements) {
  for (auto& node : block.nodes) {
    replace_operands(node->args, replacements);
    for (Block& inner : node->blocks) replace_in(inner, replacements);
  }
  for (Value& v : block.results) v = resolve(v, replacements);
}

uint64_t next_serial() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

std::string to_string(const Type& type) {
  switch (type.kind) {
    case Kind::Tensor: return std::string(short_name(type.dtype)) + to_string(type.dims);
    case Kind::Int: return "int";
    case Kind::Float: return "float";
    case Kind::Bool: return "bool";
    case Kind::List: return "list(" + std::string(short_name(type.dtype)) + to_string(type.dims) + ")";
    case Kind::None: return "none";
  }
  return "none";
}

std::string to_string(const Origin& origin) {
  std::string text = origin.path;
  if (origin.call > 0) text += " (call " + std::to_string(origin.call + 1) + ")";
  if (!text.empty() && !origin.op.empty()) text += ", ";
  return text + origin.op;
}

const Arg* Node::arg(std::string_view name) const {
  for (const NamedArg& a : args)
    if (a.name == name) return &a.value;
  return nullptr;
}

Graph::Graph(std::shared_ptr<Variables> variables) : variables(std::move(variables)), serial(next_serial()) {}

Value Graph::add_value(ValueInfo info) {
  values.push_back(std::move(info));
  return Value{static_cast<int32_t>(values.size() - 1)};
}

const Origin& Graph::origin(const Node& node) const {
  static const Origin kNone;
  return node.origin < 0 ? kNone : origins[static_cast<size_t>(node.origin)];
}

std::unique_ptr<Graph> Graph::clone() const {
  auto out = std::make_unique<Graph>(variables);
  out->sample_sizes = sample_sizes;
  out->name = name;
  out->inputs = inputs;
  out->outputs = outputs;
  out->body = copy(body);
  out->values = values;
  out->constants = constants;
  out->origins = origins;
  out->scopes = scopes;
  out->training = training;
  return out;
}

Samples default_samples(const Graph& graph, const Type& type) {
  Samples out;
  for (size_t s = 0; s < out.size(); ++s) {
    const int64_t first = s == 0 ? 6 : 10;
    Sample& sample = out[s];
    sample.dims = type.dims;
    for (size_t axis = 0; axis < type.dims.size(); ++axis)
      if (type.dims[axis] == kUnknown) sample.dims[axis] = axis == 0 ? first : graph.sample_sizes[s];
    if (type.kind == Kind::Int || type.kind == Kind::List) sample.number = first;
    if (type.kind == Kind::Bool) sample.number = static_cast<int64_t>(s);
    if (type.kind == Kind::Float) sample.real = static_cast<double>(first);
  }
  return out;
}

void replace_operands(Args& args, const std::unordered_map<int32_t, Value>& replacements) {
  for (NamedArg& a : args) {
    ArgVariant& variant = a.value;
    if (auto* v = std::get_if<Value>(&variant)) {
      *v = resolve(*v, replacements);
    } else if (auto* ints = std::get_if<std::vector<IntArg>>(&variant)) {
      for (IntArg& i : *ints)
        if (auto* iv = std::get_if<Value>(&i)) *iv = resolve(*iv, replacements);
    } else if (auto* vs = std::get_if<std::vector<Value>>(&variant)) {
      for (Value& x : *vs) x = resolve(x, replacements);
    }
  }
}

void replace_uses(Graph& graph, const std::unordered_map<int32_t, Value>& replacements) {
  if (replacements.empty()) return;
  replace_in(graph.body, replacements);
  for (Output& output : graph.outputs) output.value = resolve(output.value, replacements);
}

}  // namespace midstream
