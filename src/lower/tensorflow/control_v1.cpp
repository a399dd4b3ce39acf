// TensorFlow 1's control flow raised to regions.
//
// A conditional is Switch nodes on a predicate and, where the branches meet again, a Merge. Lowering the Merge means:
// find the predicate on whose two sides its inputs lie, and lower each input inside its branch. Switch itself then only
// hands its input on, since it is only reached from the side that is taken.
//
// A loop is a frame: per carried value Enter -> Merge <- NextIteration, Merge -> Switch(LoopCond) -> Exit or body.
// Lowering one Exit lowers the whole frame.
#include <algorithm>

#include "lower/tensorflow/driver.h"

namespace midstream::tensorflow {
namespace {

bool is_one_of(const std::string& op, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), op) != names.end();
}

// TF1's reference forms ("RefSwitch") mean the same.
std::string plain(const std::string& op) { return op.starts_with("Ref") ? op.substr(3) : op; }

bool assigns(const std::string& op) {
  return is_one_of(
      op,
      {"Assign", "AssignAdd", "AssignSub", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp",
       "ScatterUpdate", "ScatterAdd", "ScatterSub", "ScatterNdUpdate", "ScatterNdAdd", "ScatterNdSub",
       "ResourceScatterUpdate", "ResourceScatterAdd", "ResourceScatterSub", "ResourceScatterNdUpdate",
       "ResourceScatterNdAdd", "ResourceScatterNdSub"});
}

}  // namespace

bool Driver::is_merge(const NodeDef& node) { return plain(node.op) == "Merge"; }
bool Driver::is_exit(const NodeDef& node) { return plain(node.op) == "Exit"; }
bool Driver::is_control(const NodeDef& node) { return is_one_of(plain(node.op), {"Merge", "Exit", "NextIteration"}); }

bool Driver::matters(const std::string& name) {
  Body& body = *frame_->body;
  auto [it, fresh] = body.matters.try_emplace(name, false);  // false while it is being found out: cycles end there
  if (!fresh) return it->second;
  auto found = body.nodes.find(name);
  if (found == body.nodes.end()) return false;
  const NodeDef& node = *found->second;
  bool result = assigns(node.op);
  for (const auto& [attr, value] : node.attrs) {
    if (result || value.kind() != AttrValue::Kind::Func) continue;
    auto f = functions_.find(value.func().name);
    if (f == functions_.end()) continue;
    Enter enter(*this, this->body(f->second), nullptr);
    for (const NodeDef& inner : f->second->nodes) result = result || matters(inner.name);
  }
  for (const std::string& text : node.inputs) {
    Endpoint e = parse_endpoint(text);
    if (!result && e.control) result = matters(e.node);
  }
  return body.matters[name] = result;
}

// The predicates, with the sides taken, that lie between an endpoint and the nodes that always run.
const Driver::Guards& Driver::guards(const Endpoint& wanted) {
  Body* body = frame_->body;
  auto key = [&](const Endpoint& e) {
    return std::pair<const Body*, std::string>(body, e.node + ":" + std::to_string(e.index));
  };
  std::vector<Endpoint> open{wanted};
  std::set<std::string> visited;
  while (!open.empty()) {
    Endpoint e = open.back();
    auto it = body->nodes.find(e.node);
    if (guards_.count(key(e)) || it == body->nodes.end()) {
      guards_.try_emplace(key(e));
      open.pop_back();
      continue;
    }
    const NodeDef& node = *it->second;
    std::vector<Endpoint> sources;
    for (const std::string& text : node.inputs) {
      Endpoint s = parse_endpoint(text);
      auto source = body->nodes.find(s.node);
      // A loop's back edge tells nothing.
      if (source != body->nodes.end() && plain(source->second->op) == "NextIteration") continue;
      s.index = s.control ? 0 : s.index;
      sources.push_back(s);
    }
    if (visited.insert(e.node + ":" + std::to_string(e.index)).second) {
      bool waits = false;
      for (const Endpoint& s : sources)
        if (!guards_.count(key(s))) open.push_back(s), waits = true;
      if (waits) continue;
    }
    Guards mine;
    for (const Endpoint& s : sources)
      for (const auto& [predicate, sides] : guards_[key(s)]) mine[predicate].insert(sides.begin(), sides.end());
    if (plain(node.op) == "Switch") mine[node.inputs.at(1)].insert(e.index);
    // Behind a Merge both sides of its predicate are possible: it guards no longer.
    if (is_merge(node)) std::erase_if(mine, [](const auto& g) { return g.second.size() > 1; });
    guards_[key(e)] = std::move(mine);
    open.pop_back();
  }
  return guards_[key(wanted)];
}

Operands Driver::merge(const NodeDef& node) {
  std::vector<Endpoint> inputs;
  for (const std::string& text : node.inputs)
    if (Endpoint e = parse_endpoint(text); !e.control) inputs.push_back(e);
  if (inputs.size() != 2)
    b_.fail(ErrorKind::Unsupported, "merges " + std::to_string(inputs.size()) + " branches; two are known.");
  const Guards first = guards(inputs[0]), second = guards(inputs[1]);
  for (const auto& [predicate, sides] : first) {
    auto other = second.find(predicate);
    if (other == second.end() || sides.size() != 1 || other->second.size() != 1 || sides == other->second) continue;
    size_t true_side = *sides.begin() == 1 ? 0 : 1;
    Value condition = this->predicate(evaluate(predicate));
    auto side = [&](size_t i) {
      return [this, &node, i] { return in_branch([&] { return Operands{evaluate(node.inputs.at(i))}; }); };
    };
    return cond(condition, side(true_side), side(1 - true_side));
  }
  b_.fail(ErrorKind::Unsupported, "merges two branches, but no common Switch decides between them.");
}

LoopFrame Driver::loop_frame(const std::string& name) {
  LoopFrame frame;
  const auto& nodes = frame_->body->nodes;
  auto at = [&](const std::string& endpoint) { return nodes.find(parse_endpoint(endpoint).node); };
  std::map<std::string, size_t> by_merge;
  std::vector<std::string> names;
  for (const auto& [node_name, node] : nodes) names.push_back(node_name);
  std::sort(names.begin(), names.end());  // the same graph gives the same program
  for (const std::string& node_name : names) {
    const NodeDef& node = *nodes.at(node_name);
    if (plain(node.op) == "Enter" && node.attr("frame_name").s() == name) frame.enters.push_back(node_name);
    if (!is_merge(node)) continue;
    LoopVariable v;
    v.merge = &node;
    for (const std::string& input : node.inputs) {
      auto source = at(input);
      if (source == nodes.end()) continue;
      std::string op = plain(source->second->op);
      if (op == "NextIteration") v.next = source->second->inputs.at(0);
      if (op == "Enter" && source->second->attr("frame_name").s() == name) v.enter = input;
    }
    if (v.enter.empty() || v.next.empty()) continue;
    by_merge[node_name] = frame.variables.size();
    frame.variables.push_back(std::move(v));
  }
  std::map<std::string, size_t> by_switch;
  for (const std::string& node_name : names) {
    const NodeDef& node = *nodes.at(node_name);
    if (plain(node.op) != "Switch") continue;
    auto v = by_merge.find(parse_endpoint(node.inputs.at(0)).node);
    if (v == by_merge.end()) continue;
    auto decider = at(node.inputs.at(1));
    if (decider == nodes.end() || decider->second->op != "LoopCond") continue;
    frame.variables[v->second].predicate = node.inputs[1];
    by_switch[node_name] = v->second;
  }
  for (const std::string& node_name : names) {
    const NodeDef& node = *nodes.at(node_name);
    if (!is_exit(node)) continue;
    auto v = by_switch.find(parse_endpoint(node.inputs.at(0)).node);
    if (v != by_switch.end()) frame.variables[v->second].exits.push_back(node_name);
  }
  return frame;
}

Operand Driver::exit(const NodeDef& node) {
  const auto& nodes = frame_->body->nodes;
  auto follow = [&](const std::string& endpoint) -> const NodeDef& {
    auto it = nodes.find(parse_endpoint(endpoint).node);
    if (it == nodes.end()) b_.fail(ErrorKind::BadFile, "leaves a loop that the graph does not hold.");
    return *it->second;
  };
  const NodeDef& merge = follow(follow(node.inputs.at(0)).inputs.at(0));
  std::string frame_name;
  for (const std::string& input : merge.inputs)
    if (const NodeDef& enter = follow(input); plain(enter.op) == "Enter") frame_name = enter.attr("frame_name").s();
  LoopFrame frame = loop_frame(frame_name);
  if (frame.variables.empty()) b_.fail(ErrorKind::Unsupported, "leaves a loop of a form that is not known.");

  for (const std::string& enter : frame.enters) evaluate(enter);  // outside, once
  Operands init;
  std::string predicate;
  for (const LoopVariable& v : frame.variables) {
    init.push_back(evaluate(v.enter));
    if (!v.predicate.empty()) predicate = v.predicate;
  }
  auto bind = [&](const Operands& carried) {
    for (size_t i = 0; i < carried.size(); ++i) frame_->lowered[frame.variables[i].merge->name] = {carried[i]};
  };
  Operands results = while_loop(
      init,
      [&](const Operands& carried) {
        Value decided;
        in_branch([&] {
          bind(carried);
          decided = this->predicate(evaluate(predicate));
          return Operands{};
        });
        return decided;
      },
      [&](const Operands& carried) {
        return in_branch([&] {
          bind(carried);
          Operands next;
          for (const LoopVariable& v : frame.variables) next.push_back(evaluate(v.next));
          return next;
        });
      });
  Operand mine;
  for (size_t i = 0; i < results.size(); ++i)
    for (const std::string& name : frame.variables[i].exits) {
      if (name == node.name)
        mine = results[i];
      else
        frame_->lowered[name] = {results[i]};
    }
  return mine;
}

}  // namespace midstream::tensorflow
