// Types anew, in order. A loop keeps the types of what it carries: they already cover every round.
#include "graph/call.h"
#include "passes/passes.h"

namespace midstream {
namespace {

class Inference {
 public:
  Inference(Graph& graph, const Dialect& dialect) : graph_(graph), dialect_(dialect) {}

  bool run() {
    infer(graph_.body);
    return changed_;
  }

 private:
  void infer(Block& block) {
    for (auto& node : block.nodes) {
      for (Block& inner : node->blocks) infer(inner);
      if (node->kind == NodeKind::Call) call(*node);
      if (node->kind == NodeKind::Region && node->op != "while") region(*node);
    }
  }
  void call(const Node& node) {
    const std::string where = to_string(graph_.origin(node));
    CallOutputs outputs =
        infer_outputs(graph_, dialect_, bind_call(graph_, dialect_, node.op, node.args, where), where);
    for (size_t i = 0; i < node.outputs.size() && i < outputs.infos.size(); ++i) set(node.outputs[i], outputs.infos[i]);
  }
  void region(const Node& node) {
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      ValueInfo info = graph_.info(node.blocks[0].results[i]);
      if (node.op == "if")
        info = merge_branches(info, graph_.info(node.blocks[1].results[i]), to_string(graph_.origin(node)));
      set(node.outputs[i], info);
    }
  }
  void set(Value v, const ValueInfo& info) {
    ValueInfo& now = graph_.info(v);
    if (now.type == info.type && now.samples == info.samples) return;
    changed_ = true;
    now.type = info.type;
    now.samples = info.samples;
  }

  Graph& graph_;
  const Dialect& dialect_;
  bool changed_ = false;
};

}  // namespace

bool infer_types(Graph& graph, const Dialect& dialect) { return Inference(graph, dialect).run(); }

}  // namespace midstream
