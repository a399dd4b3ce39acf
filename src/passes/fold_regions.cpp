// Takes the branch that a constant predicate names. Its nodes move up into the surrounding block; the region's results
// are replaced by the block's.
#include "passes/passes.h"

namespace midstream {
namespace {

class Folder {
 public:
  explicit Folder(Graph& graph) : graph_(graph) {}

  bool run() {
    fold(graph_.body);
    replace_uses(graph_, replaced_);
    return changed_;
  }

 private:
  const Array* constant_predicate(const Node& node) const {
    if (node.kind != NodeKind::Region || node.op != "if") return nullptr;
    const ValueInfo& info = graph_.info(std::get<Value>(node.arg("cond")->variant()));
    return info.leaf == LeafKind::Constant ? &graph_.constants[static_cast<size_t>(info.index)] : nullptr;
  }

  void fold(Block& block) {
    std::vector<std::unique_ptr<Node>> nodes;
    nodes.swap(block.nodes);
    for (auto& node : nodes) {
      const Array* predicate = constant_predicate(*node);
      if (!predicate) {
        for (Block& inner : node->blocks) fold(inner);
        block.nodes.push_back(std::move(node));
        continue;
      }
      changed_ = true;
      Block& taken = node->blocks[predicate->to_int64()[0] ? 0 : 1];
      fold(taken);
      for (auto& inner : taken.nodes) block.nodes.push_back(std::move(inner));
      for (size_t i = 0; i < node->outputs.size(); ++i) replaced_[node->outputs[i].id] = taken.results[i];
    }
  }

  Graph& graph_;
  std::unordered_map<int32_t, Value> replaced_;
  bool changed_ = false;
};

}  // namespace

bool fold_regions(Graph& graph, const Dialect& dialect) {
  if (!Folder(graph).run()) return false;
  infer_types(graph, dialect);
  return true;
}

}  // namespace midstream
