// A node's arguments as the print table asks for them. Arguments that equal the schema's default are not in the graph,
// so every getter takes what stands for them.
#pragma once

#include <optional>

#include "emit/code.h"

namespace midstream::emit {

// Who makes and who uses a value.
struct GraphIndex {
  explicit GraphIndex(const Graph& graph);
  std::unordered_map<int32_t, const Node*> definitions;
  std::unordered_map<int32_t, int> uses;  // results of blocks included
  // Values that are others under another name: a variable's value after an assignment that a module makes by itself.
  std::unordered_map<int32_t, Value> aliases;
  Value resolve(Value v) const;
};

class NodeView {
 public:
  NodeView(const Graph& graph, const GraphIndex& index, const Node& node) : graph(graph), index(index), node(node) {}
  const Graph& graph;
  const GraphIndex& index;
  const Node& node;

  bool has(std::string_view name) const;  // given, and not None
  // Aliases are resolved. Null when absent or not one value.
  Value value(std::string_view name) const;
  std::vector<Value> values(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t otherwise = 0) const;
  double number(std::string_view name, double otherwise = 0) const;
  bool flag(std::string_view name, bool otherwise = false) const;
  // Null when one of them is only known at run time.
  std::optional<std::vector<int64_t>> ints(std::string_view name, std::vector<int64_t> otherwise = {}) const;
  const Type& type(Value v) const { return graph.type(v); }
  const Dims& dims(Value v) const { return graph.type(v).dims; }
  int64_t rank(std::string_view name) const { return static_cast<int64_t>(dims(value(name)).size()); }
  bool is_variable(Value v) const { return v && graph.info(v).leaf == LeafKind::Variable; }
  bool is_used(size_t output) const;
  // The call that makes v, if it is one of `op`.
  std::optional<NodeView> definition(Value v, std::string_view op) const;
  // Both examples of a size.
  std::pair<int64_t, int64_t> examples(Value v, size_t axis) const;
};

// Numbers of a list as the source would have them: 3 for (3, 3).
Literal compact(const std::vector<int64_t>& numbers);

}  // namespace midstream::emit
