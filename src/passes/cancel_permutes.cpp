// One walk from the inputs down. Of every value that is a permute of another one it is remembered which; a call that
// can do without the permute (slide_permute.h) is made on the sources, and the permute follows it, where the next call
// finds it. A permute that nobody takes up in the end is dead code.
#include <map>
#include <utility>

#include "graph/builder_names.h"
#include "graph/call.h"
#include "passes/passes.h"
#include "passes/slide_permute.h"

namespace midstream {
namespace {

class Canceller {
 public:
  Canceller(Graph& graph, const Dialect& dialect) : graph_(graph), dialect_(dialect) {}

  bool run() {
    walk(graph_.body);
    replace_uses(graph_, replaced_);
    return changed_;
  }

 private:
  using Known = std::map<std::pair<int32_t, Perm>, Value>;  // (source, perm) -> the permuted value

  std::optional<Permuted> permuted(Value v) const {
    auto it = aliases_.find(v.id);
    return it == aliases_.end() ? std::nullopt : std::optional(it->second);
  }

  void walk(Block& block) {
    const Known outside = known_;
    std::vector<std::unique_ptr<Node>> nodes;
    nodes.swap(block.nodes);
    for (auto& node : nodes) {
      replace_operands(node->args, replaced_);
      for (Block& inner : node->blocks) {
        walk(inner);
        for (Value& v : inner.results) v = resolve(v);
      }
      Block* saved = std::exchange(block_, &block);
      if (node->op == op::kPermute && node->kind == NodeKind::Call)
        permute(std::move(node));
      else if (node->kind == NodeKind::Call)
        call(std::move(node));
      else if (node->op == "if")
        branches(std::move(node));
      else
        block.nodes.push_back(std::move(node));
      block_ = saved;
    }
    known_ = outside;  // what was made in here cannot be seen from outside
  }

  Value resolve(Value v) const {
    for (auto it = replaced_.find(v.id); it != replaced_.end(); it = replaced_.find(v.id)) v = it->second;
    return v;
  }

  // Appends `out` = permute(source, perm), or lets an equal value stand for it.
  void give(Value out, Value source, const Perm& perm, int32_t origin) {
    auto it = known_.find({source.id, perm});
    if (is_identity(perm) || it != known_.end()) {
      replaced_[out.id] = is_identity(perm) ? source : it->second;
      return;
    }
    auto node = make_call(graph_, dialect_, op::kPermute, {{"self", source}, {"dims", Dims(perm)}}, origin);
    node->outputs[0] = out;
    block_->nodes.push_back(std::move(node));
    aliases_[out.id] = {source, perm};
    known_[{source.id, perm}] = out;
  }

  void permute(std::unique_ptr<Node> node) {
    const Value self = std::get<Value>(node->arg("self")->variant());
    const auto rank = static_cast<int64_t>(graph_.type(self).dims.size());
    Perm perm;
    for (const IntArg& i : std::get<std::vector<IntArg>>(node->arg("dims")->variant())) {
      if (!std::holds_alternative<int64_t>(i)) return block_->nodes.push_back(std::move(node));
      const int64_t axis = std::get<int64_t>(i);
      perm.push_back(axis < 0 ? axis + rank : axis);
    }
    const auto before = permuted(self);
    if (before) perm = compose(before->perm, perm);
    const Value source = before ? before->source : self;
    changed_ |= before.has_value() || is_identity(perm) || known_.contains({source.id, perm});
    give(node->outputs[0], source, perm, node->origin);
  }

  void call(std::unique_ptr<Node> node) {
    auto slid = slide(context(node->origin), dialect_.schema(node->op), *node);
    if (!slid) return block_->nodes.push_back(std::move(node));
    changed_ = true;
    auto inner = make_call(graph_, dialect_, node->op, slid->args, node->origin);
    const Value result = inner->outputs[0];
    block_->nodes.push_back(std::move(inner));
    give(node->outputs[0], result, slid->after, node->origin);
  }

  SlideContext context(int32_t origin) {
    auto view = [this, origin](const char* op, const Args& args) {
      return append_call(graph_, *block_, dialect_, op, args, origin)[0];
    };
    SlideContext c{graph_, {}, {}, {}, {}};
    c.permuted = [this](Value v) { return permuted(v); };
    c.can_permute = [this](Value v, const Perm& perm) {
      const LeafKind leaf = graph_.info(v).leaf;
      return known_.contains({v.id, perm}) || leaf == LeafKind::Variable || leaf == LeafKind::Constant;
    };
    c.permute = [this, view](Value v, const Perm& perm) {
      Value& out = known_[{v.id, perm}];
      if (!out) {
        out = view(op::kPermute, {{"self", v}, {"dims", Dims(perm)}});
        aliases_[out.id] = {v, perm};
      }
      return out;
    };
    c.reshape = [view](Value v, const Dims& dims) { return view(op::kReshape, {{"self", v}, {"shape", dims}}); };
    return c;
  }

  // A result that both branches permute in the same way is permuted after the region.
  void branches(std::unique_ptr<Node> node) {
    std::vector<std::pair<size_t, Perm>> moved;
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      auto a = permuted(node->blocks[0].results[i]), b = permuted(node->blocks[1].results[i]);
      if (!a || !b || a->perm != b->perm) continue;
      node->blocks[0].results[i] = a->source;
      node->blocks[1].results[i] = b->source;
      moved.push_back({i, a->perm});
    }
    std::vector<std::pair<Value, Value>> outputs;  // old, new
    for (const auto& [i, perm] : moved) {
      ValueInfo info = merge_branches(graph_.info(node->blocks[0].results[i]), graph_.info(node->blocks[1].results[i]),
                                      to_string(graph_.origin(*node)));
      info.leaf = LeafKind::None;
      info.index = -1;
      info.name.clear();
      outputs.push_back({node->outputs[i], graph_.add_value(std::move(info))});
      node->outputs[i] = outputs.back().second;
    }
    const int32_t origin = node->origin;
    block_->nodes.push_back(std::move(node));
    for (size_t k = 0; k < moved.size(); ++k) give(outputs[k].first, outputs[k].second, moved[k].second, origin);
    changed_ |= !moved.empty();
  }

  Graph& graph_;
  const Dialect& dialect_;
  Block* block_ = nullptr;
  std::unordered_map<int32_t, Permuted> aliases_;
  Known known_;
  std::unordered_map<int32_t, Value> replaced_;
  bool changed_ = false;
};

}  // namespace

bool cancel_permutes(Graph& graph, const Dialect& dialect) { return Canceller(graph, dialect).run(); }

}  // namespace midstream
