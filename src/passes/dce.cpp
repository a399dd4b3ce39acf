// Dead code: marks what results and effects need, walking backwards and into blocks (a loop until its carried values
// settle), then drops the rest, down to single results of regions.
#include <algorithm>

#include "passes/passes.h"

namespace midstream {
namespace {

bool has_effect(const Node& node) {
  if (node.kind == NodeKind::Assign) return true;
  if (node.kind == NodeKind::Call) return node.outputs.empty();
  for (const Block& block : node.blocks)
    for (const auto& inner : block.nodes)
      if (has_effect(*inner)) return true;
  return false;
}

template <class T>
void keep(std::vector<T>& items, const std::vector<bool>& kept) {
  size_t n = 0;
  for (size_t i = 0; i < items.size(); ++i)
    if (kept[i]) items[n++] = items[i];
  items.resize(n);
}

class Sweeper {
 public:
  explicit Sweeper(Graph& graph) : graph_(graph), live_(graph.values.size(), false) {}

  bool run() {
    for (Value v : graph_.body.results) mark(v);
    mark(graph_.body);
    sweep(graph_.body);
    return changed_;
  }

 private:
  bool live(Value v) const { return live_[static_cast<size_t>(v.id)]; }
  void mark(Value v) {
    if (v) live_[static_cast<size_t>(v.id)] = true;
  }
  bool needed(const Node& node) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(), [&](Value v) { return live(v); }) || has_effect(node);
  }

  void mark(const Block& block) {
    for (auto it = block.nodes.rbegin(); it != block.nodes.rend(); ++it)
      if (needed(**it)) mark(**it);
  }
  void mark(const Node& node) {
    if (node.kind == NodeKind::Region && node.op == "while") return mark_loop(node);
    for_each_operand(node.args, [&](Value v) { mark(v); });
    for (const Block& block : node.blocks) {
      for (size_t i = 0; i < node.outputs.size(); ++i)
        if (live(node.outputs[i])) mark(block.results[i]);
      mark(block);
    }
  }
  void mark_loop(const Node& node) {
    const Block &cond = node.blocks[0], &body = node.blocks[1];
    const auto& init = std::get<std::vector<Value>>(node.arg("init")->variant());
    for (bool settled = false; !settled;) {
      settled = true;
      mark(cond.results[0]);
      mark(cond);
      mark(body);
      for (size_t i = 0; i < init.size(); ++i) {
        if (!carried(node, i) || (live(body.results[i]) && live(node.outputs[i]))) continue;
        for (Value v : {node.outputs[i], cond.args[i], body.args[i], body.results[i], init[i]}) mark(v);
        settled = false;
      }
    }
  }
  bool carried(const Node& loop, size_t i) const {
    return live(loop.outputs[i]) || live(loop.blocks[0].args[i]) || live(loop.blocks[1].args[i]);
  }

  void sweep(Block& block) {
    const size_t before = block.nodes.size();
    std::erase_if(block.nodes, [&](const auto& node) { return !needed(*node); });
    changed_ |= block.nodes.size() != before;
    for (auto& node : block.nodes) {
      if (node->kind == NodeKind::Region) trim(*node);
      for (Block& inner : node->blocks) sweep(inner);
    }
  }
  void trim(Node& node) {
    std::vector<bool> kept;
    for (Value v : node.outputs) kept.push_back(live(v));
    if (std::find(kept.begin(), kept.end(), false) == kept.end()) return;
    changed_ = true;
    keep(node.outputs, kept);
    if (node.op != "while") {
      for (Block& block : node.blocks) keep(block.results, kept);
      return;
    }
    keep(std::get<std::vector<Value>>(static_cast<ArgVariant&>(node.args[0].value)), kept);
    for (Block& block : node.blocks) keep(block.args, kept);
    keep(node.blocks[1].results, kept);
  }

  Graph& graph_;
  std::vector<bool> live_;
  bool changed_ = false;
};

}  // namespace

bool dce(Graph& graph) { return Sweeper(graph).run(); }

}  // namespace midstream
