// Control flow: regions with nested blocks, built by running the branch or body functions against this builder; and
// assignments.
#include <algorithm>

#include "graph/builder.h"
#include "graph/call.h"
#include "graph/in_block.h"

namespace midstream {
namespace {

ValueInfo as_argument(ValueInfo info) {
  info.leaf = LeafKind::None;
  info.index = -1;
  info.name.clear();
  return info;
}

bool same(const ValueInfo& a, const ValueInfo& b) { return a.type == b.type && a.samples == b.samples; }

}  // namespace

Values Builder::cond(Value pred, const std::function<Values()>& then_fn, const std::function<Values()>& else_fn) {
  const ValueInfo& info = graph_.info(pred);
  if (info.type.kind != Kind::Bool)
    fail(ErrorKind::Internal, "a condition must be a host bool, not " + to_string(info.type) + ".");
  if (info.leaf == LeafKind::Constant)
    return graph_.constants[static_cast<size_t>(info.index)].to_int64()[0] ? then_fn() : else_fn();

  auto node = std::make_unique<Node>();
  node->kind = NodeKind::Region;
  node->op = "if";
  node->args = {{"cond", pred}};
  node->origin = origin_;
  node->blocks.resize(2);
  Values results[2];
  for (size_t i = 0; i < 2; ++i) {
    InBlock in(*this, node->blocks[i]);
    results[i] = i == 0 ? then_fn() : else_fn();
  }
  if (results[0].size() != results[1].size())
    fail(ErrorKind::Internal, "the two branches of a condition give " + std::to_string(results[0].size()) + " and " +
                                  std::to_string(results[1].size()) + " values.");
  const std::string where = origin_ < 0 ? std::string() : to_string(graph_.origins[static_cast<size_t>(origin_)]);
  Values outputs;
  for (size_t i = 0; i < results[0].size(); ++i) {
    Value a = results[0][i], b = results[1][i];
    if (a == b) {  // from outside of both
      outputs.push_back(a);
      continue;
    }
    outputs.push_back(graph_.add_value(as_argument(merge_branches(graph_.info(a), graph_.info(b), where))));
    node->outputs.push_back(outputs.back());
    node->blocks[0].results.push_back(a);
    node->blocks[1].results.push_back(b);
  }
  const bool empty = node->outputs.empty() && node->blocks[0].nodes.empty() && node->blocks[1].nodes.empty();
  if (!empty) block_->nodes.push_back(std::move(node));
  return outputs;
}

// Fills the node's blocks, with block arguments of the types in `infos` for the carried values and the initial value
// itself for the others. Returns what the body gives, one per initial value.
Values Builder::while_built(Node& node, const Values& init, const std::vector<ValueInfo>& infos,
                            const std::vector<bool>& carried, const std::function<Value(const Values&)>& cond_fn,
                            const std::function<Values(const Values&)>& body_fn) {
  node.blocks.clear();
  node.blocks.resize(2);
  Values next;
  for (Block& block : node.blocks) {
    Values arguments = init;
    for (size_t i = 0; i < init.size(); ++i) {
      if (!carried[i]) continue;
      arguments[i] = graph_.add_value(infos[i]);
      block.args.push_back(arguments[i]);
    }
    InBlock in(*this, block);
    if (&block == &node.blocks[0]) {
      Value pred = cond_fn(arguments);
      if (type(pred).kind != Kind::Bool)
        fail(ErrorKind::Internal, "a loop's condition must be a host bool, not " + to_string(type(pred)) + ".");
      block.results = {pred};
      continue;
    }
    next = body_fn(arguments);
    if (next.size() != init.size())
      fail(ErrorKind::Internal, "a loop carries " + std::to_string(init.size()) + " values, but its body gives " +
                                    std::to_string(next.size()) + ".");
    for (size_t i = 0; i < init.size(); ++i)
      if (next[i] == arguments[i])
        next[i] = Value{};  // unchanged
      else if (!carried[i])
        fail(ErrorKind::Internal, "a loop's body is not the same when built again.");
  }
  return next;
}

Values Builder::while_loop(Values init, const std::function<Value(const Values&)>& cond_fn,
                           const std::function<Values(const Values&)>& body_fn) {
  const std::string where = origin_ < 0 ? std::string() : to_string(graph_.origins[static_cast<size_t>(origin_)]);
  const size_t n = init.size();
  std::vector<ValueInfo> start, infos;
  for (Value v : init) start.push_back(as_argument(graph_.info(v)));
  infos = start;
  std::vector<bool> carried(n, true);
  bool counters_move = true;
  auto node = std::make_unique<Node>();
  node->kind = NodeKind::Region;
  node->op = "while";
  node->origin = origin_;

  // Every round either ends here or makes a type wider, so there are few.
  for (bool settled = false; !settled;) {
    Values next;
    try {
      next = while_built(*node, init, infos, carried, cond_fn, body_fn);
    } catch (const Error& e) {
      // A second round with a counter that has moved on may not exist (a sequence of one step).
      if (e.kind() != ErrorKind::Mismatch || !counters_move || infos.empty()) throw;
      bool moved = false;
      for (size_t i = 0; i < n; ++i) {
        if (start[i].type.kind != Kind::Int || same(infos[i], start[i])) continue;
        infos[i] = start[i];
        moved = true;
      }
      if (!moved) throw;
      counters_move = false;
      continue;
    }
    settled = true;
    for (size_t i = 0; i < n; ++i) {
      if (!carried[i]) continue;
      if (!next[i]) {
        carried[i] = false;
        settled = false;
        continue;
      }
      node->blocks[1].results.push_back(next[i]);
      if (start[i].type.kind == Kind::Int && !counters_move) continue;
      ValueInfo wider = merge_carried(infos[i], start[i], graph_.info(next[i]), where);
      if (same(wider, infos[i])) continue;
      infos[i] = std::move(wider);
      settled = false;
    }
  }

  Values outputs = init, initial;
  for (size_t i = 0; i < n; ++i) {
    if (!carried[i]) continue;
    outputs[i] = graph_.add_value(infos[i]);
    node->outputs.push_back(outputs[i]);
    initial.push_back(init[i]);
  }
  node->args = {{"init", std::move(initial)}};
  block_->nodes.push_back(std::move(node));
  return outputs;
}

void Builder::assign(Value variable, Value new_value) {
  Value target = variable;
  for (const auto& [name, raw] : variables_) {
    if (raw != variable) continue;
    target = leaf(name);
    if (target != raw) new_value = views(new_value, graph_.variables->find(name)->stored_as);
    graph_.variables->find(name)->layout_chooser = Variable::kLayoutFixed;
    break;
  }
  const ValueInfo& info = graph_.info(target);
  if (info.leaf != LeafKind::Variable) fail(ErrorKind::Internal, "an assignment to what is no variable.");
  const Type& given = graph_.type(new_value);
  bool fits =
      given.kind == Kind::Tensor && given.dtype == info.type.dtype && given.dims.size() == info.type.dims.size();
  for (size_t i = 0; fits && i < given.dims.size(); ++i)
    fits = given.dims[i] == info.type.dims[i] || given.dims[i] == kUnknown;
  if (!fits)
    fail(ErrorKind::Mismatch, "the variable '" + graph_.variables->at(static_cast<size_t>(info.index)).name + "' is " +
                                  to_string(info.type) + ", but " + to_string(given) + " is assigned to it.");
  auto node = std::make_unique<Node>();
  node->kind = NodeKind::Assign;
  node->op = "assign";
  node->args = {{"variable", target}, {"value", new_value}};
  node->origin = origin_;
  block_->nodes.push_back(std::move(node));
}

}  // namespace midstream
