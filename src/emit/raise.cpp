// Modules are recognised node by node; a variable belongs to the first module that takes it, and whoever else uses it
// says self.<module>.weight. `if training` regions that are one module (dropout, batch normalization) are described by
// rows of the print table, as everything else that names an operator.
#include "emit/raise.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "emit/print_table.h"

namespace midstream::emit {
namespace {

class Raiser {
 public:
  Raiser(const Graph& graph, const EmitOptions& options, Program& program)
      : g_(graph), options_(options), p_(program), index_(graph) {}

  std::vector<Step> block(const Block& block) {
    std::vector<Step> steps;
    for (const auto& node : block.nodes)
      if (!consumed_.contains(node.get())) add(*node, steps);
    return steps;
  }
  Value resolve(Value v) const { return index_.resolve(v); }
  void find_loose_tensors(const std::vector<Step>& steps);
  void report_unsupported() const;

 private:
  NodeView view(const Node& node) const { return NodeView(g_, index_, node); }
  void add(const Node& node, std::vector<Step>& steps);
  void add_call(const Node& node, std::vector<Step>& steps);
  void add_region(const Node& node, std::vector<Step>& steps);
  void add_assign(const Node& node, std::vector<Step>& steps);
  void inline_call(const Node& node, std::vector<Step>& steps);
  bool raise_region(const Node& node, Step& step);
  bool matches(const RegionRow& row, const Node& region, const Node& main) const;
  std::vector<const Node*> assigns_of(const RegionRow& row, const Node& region, const Node& main) const;
  const Node* outer_assign(Value of, Value variable) const;
  int module(const Raised& raised, const Step& step);
  Step step_of(const Node& node) const;
  void resolve_all(Step& step) const;

  const Graph& g_;
  const EmitOptions& options_;
  Program& p_;
  GraphIndex index_;
  std::map<std::string, int> known_;                  // what a module is -> module
  std::map<int, std::pair<int, std::string>> owner_;  // variable -> module and key
  std::set<const Node*> consumed_;
  std::vector<std::string> unsupported_;
};

Step Raiser::step_of(const Node& node) const {
  Step step;
  const Origin& origin = g_.origin(node);
  step.path = origin.path;
  step.op = origin.op;
  step.call = origin.call;
  step.outputs = node.outputs;
  return step;
}

void resolve_pieces(Expr& expr, const std::function<Value(Value)>& resolve) {
  for (Piece& piece : expr.pieces)
    if (piece.kind == Piece::Kind::Operand) piece.value = resolve(piece.value);
}

void Raiser::resolve_all(Step& step) const {
  resolve_pieces(step.expr, [&](Value v) { return resolve(v); });
  if (step.condition) step.condition = resolve(step.condition);
  for (Value& v : step.init) v = resolve(v);
  if (step.source) step.source = resolve(step.source);
}

// The module `raised` describes, made at the first request; -1 if one of its tensors belongs to another module.
int Raiser::module(const Raised& raised, const Step& step) {
  std::string what = raised.type;
  bool tensors = false;
  for (const CtorArg& a : raised.args) what += "," + a.name + "=" + (a.text.empty() ? to_python(a.literal) : a.text);
  for (const auto& t : raised.tensors)
    if (t.value) {
      tensors = true;
      what += fmt::format(",{}:{}", t.key, g_.info(t.value).index);
    }
  if (!tensors) what += "@" + step.path;
  if (const auto it = known_.find(what); it != known_.end()) return it->second;

  Module m{
      .type = raised.type, .args = raised.args, .path = step.path, .heavy = raised.heavy, .comment = raised.comment};
  bool trains = false, has_parameters = false;
  const int id = static_cast<int>(p_.modules.size());
  for (const auto& t : raised.tensors) {
    if (!t.value) continue;
    const int variable = g_.info(t.value).index;
    if (g_.info(t.value).leaf != LeafKind::Variable || owner_.contains(variable)) return -1;
    m.tensors.push_back({.key = t.key, .variable = variable, .buffer = t.buffer});
    if (!t.buffer) {
      has_parameters = true;
      trains = trains || g_.variables->at(static_cast<size_t>(variable)).trainable;
    }
  }
  for (const ModuleTensor& t : m.tensors) owner_[t.variable] = {id, t.key};
  m.frozen = has_parameters && !trains;
  if (!raised.helper.empty()) p_.helpers.insert(raised.helper);
  p_.modules.push_back(std::move(m));
  known_[what] = id;
  return id;
}

void Raiser::add(const Node& node, std::vector<Step>& steps) {
  switch (node.kind) {
    case NodeKind::Call: return add_call(node, steps);
    case NodeKind::Region: return add_region(node, steps);
    case NodeKind::Assign: return add_assign(node, steps);
  }
}

void Raiser::add_call(const Node& node, std::vector<Step>& steps) {
  Step step = step_of(node);
  const NodeView v = view(node);
  for (const ModuleRow* row : find_modules(node.op)) {
    const auto raised = row->raise(v);
    if (!raised || (step.module = module(*raised, step)) < 0) continue;
    step.kind = Step::Kind::Module;
    step.expr = raised->operand ? Expr{}.operand(raised->operand) : fill(raised->call, v, kLoosest);
    step.result = raised->result;
    break;
  }
  if (step.module < 0) {
    try {
      step.expr = spell(v, p_.helpers);
    } catch (const Error& error) {
      unsupported_.push_back(fmt::format("  {} ({})", node.op, error.where()));
    }
    if (node.unpacks_list && node.outputs.size() == 1) step.result = "{0},";
  }
  resolve_all(step);
  steps.push_back(std::move(step));
}

void Raiser::add_assign(const Node& node, std::vector<Step>& steps) {
  const Value variable = view(node).value("variable"), value = view(node).value("value");
  const ValueInfo& info = g_.info(variable);
  // Seeds advance only where their numbers are drawn.
  if (!options_.exact_random && info.leaf == LeafKind::Variable &&
      g_.variables->at(static_cast<size_t>(info.index)).role == Role::Seed)
    return;
  Step step = step_of(node);
  step.kind = Step::Kind::Assign;
  step.effects = true;
  step.target = variable;
  step.source = value;
  resolve_all(step);
  steps.push_back(std::move(step));
}

// "call": a scope that is entered once; its body stands in its place.
void Raiser::inline_call(const Node& node, std::vector<Step>& steps) {
  const Block& body = node.blocks.at(0);
  const std::vector<Value> inputs = view(node).values("inputs");
  for (size_t i = 0; i < body.args.size(); ++i) index_.aliases[body.args[i].id] = inputs.at(i);
  for (Step& step : block(body)) steps.push_back(std::move(step));
  for (size_t i = 0; i < node.outputs.size(); ++i) index_.aliases[node.outputs[i].id] = body.results.at(i);
}

void Raiser::add_region(const Node& node, std::vector<Step>& steps) {
  if (node.op == "call") return inline_call(node, steps);
  Step step = step_of(node);
  if (node.op == "if" && raise_region(node, step)) {
    steps.push_back(std::move(step));
    return;
  }
  step.kind = node.op == "if" ? Step::Kind::If : Step::Kind::While;
  if (step.kind == Step::Kind::If)
    step.condition = view(node).value("cond");
  else
    step.init = view(node).values("init");
  for (const Block& inner : node.blocks) {
    step.bodies.push_back(block(inner));
    step.results.push_back(inner.results);
    for (Value& v : step.results.back()) v = resolve(v);
    if (step.kind == Step::Kind::While) step.block_args.push_back(inner.args);
  }
  for_each_step(step.bodies[0], [&](const Step& s) { step.effects = step.effects || s.effects; });
  for_each_step(step.bodies.back(), [&](const Step& s) { step.effects = step.effects || s.effects; });
  resolve_all(step);
  steps.push_back(std::move(step));
}

const Node* single_call(const Block& block, std::string_view op) {
  const Node* found = nullptr;
  for (const auto& node : block.nodes) {
    if (node->op != op) continue;
    if (found) return nullptr;
    found = node.get();
  }
  return found;
}

bool same_arg(const NodeView& a, const NodeView& b, std::string_view name) {
  if (a.value(name) || b.value(name)) return a.value(name) == b.value(name);
  const Arg *x = a.node.arg(name), *y = b.node.arg(name);
  if (!x || !y) return !x && !y;
  return x->variant() == y->variant();
}

// The assignment outside of the region of output `of` of it to `variable`.
const Node* Raiser::outer_assign(Value of, Value variable) const {
  for (const auto& node : g_.body.nodes)
    if (node->kind == NodeKind::Assign && view(*node).value("value") == of && view(*node).value("variable") == variable)
      return node.get();
  return nullptr;
}

// The assignments that a row asks for, inside the then branch or behind the region. Empty where they are not there.
std::vector<const Node*> Raiser::assigns_of(const RegionRow& row, const Node& region, const Node& main) const {
  std::vector<const Node*> found;
  for (const auto& [argument, output] : row.assigns) {
    const Value variable = view(main).value(argument), value = main.outputs.at(static_cast<size_t>(output));
    const Node* assign = nullptr;
    for (const auto& node : region.blocks[0].nodes)
      if (node->kind == NodeKind::Assign && view(*node).value("variable") == variable &&
          view(*node).value("value") == value)
        assign = node.get();
    for (size_t i = 1; i < region.outputs.size() && !assign; ++i)
      if (region.blocks[0].results[i] == value && resolve(region.blocks[1].results[i]) == variable)
        assign = outer_assign(region.outputs[i], variable);
    if (!assign) return {};
    found.push_back(assign);
  }
  return found;
}

bool Raiser::matches(const RegionRow& row, const Node& region, const Node& main) const {
  const Block &then_block = region.blocks[0], &else_block = region.blocks[1];
  if (region.outputs.empty() || then_block.results[0] != main.outputs.at(0)) return false;
  for (const auto& node : then_block.nodes)
    if (node->kind == NodeKind::Region) return false;
  // What comes out besides: values of variables after the module has assigned them.
  for (size_t i = 1; i < region.outputs.size(); ++i) {
    const auto assigned = [&](const auto& pair) {
      return then_block.results[i] == main.outputs.at(static_cast<size_t>(pair.second)) &&
             resolve(else_block.results[i]) == view(main).value(pair.first);
    };
    if (std::none_of(row.assigns.begin(), row.assigns.end(), assigned)) return false;
  }
  if (row.else_op.empty()) return true;  // what is handed through is known when the module is
  const Node* other = single_call(else_block, row.else_op);
  if (!other || else_block.nodes.size() != 1 || else_block.results[0] != other->outputs[0]) return false;
  return std::all_of(row.same.begin(), row.same.end(),
                     [&](std::string_view name) { return same_arg(view(main), view(*other), name); });
}

bool Raiser::raise_region(const Node& node, Step& step) {
  const Value condition = view(node).value("cond");
  if (g_.info(condition).leaf != LeafKind::Training) return false;
  for (const RegionRow& row : region_rows()) {
    if (row.random && options_.exact_random) continue;
    const Node* main = single_call(node.blocks[0], row.then_op);
    if (!main || !matches(row, node, *main)) continue;
    const std::vector<const Node*> assigns = assigns_of(row, node, *main);
    if (assigns.size() != row.assigns.size()) continue;
    const auto raised = row.raise(view(*main));
    if (!raised) continue;
    if (row.else_op.empty() &&
        node.blocks[1].results[0] != (raised->operand ? raised->operand : view(*main).value(row.passes)))
      continue;
    Expr call = raised->operand ? Expr{}.operand(raised->operand) : fill(raised->call, view(*main), kLoosest);
    // What the module is called with must be there outside of the region.
    bool outside = true;
    for (const Piece& piece : call.pieces)
      if (piece.kind == Piece::Kind::Operand)
        for (const auto& inner : node.blocks[0].nodes)
          outside =
              outside && std::find(inner->outputs.begin(), inner->outputs.end(), piece.value) == inner->outputs.end();
    if (!outside || (step.module = module(*raised, step)) < 0) continue;
    step.kind = Step::Kind::Module;
    step.expr = std::move(call);
    for (size_t i = 1; i < node.outputs.size(); ++i)
      index_.aliases[node.outputs[i].id] = resolve(node.blocks[1].results[i]);
    step.outputs.resize(1);
    consumed_.insert(assigns.begin(), assigns.end());
    resolve_all(step);
    return true;
  }
  return false;
}

CtorArg shape_argument(const Dims& dims) {
  CtorArg shape;
  shape.name = "shape";
  shape.literal = dims;
  return shape;
}

// Variables that no module took and constants become parameters and buffers.
void Raiser::find_loose_tensors(const std::vector<Step>& steps) {
  for_each_step(steps, [&](const Step& step) {
    Step shallow = step;
    shallow.bodies.clear();
    std::vector<Value> used;
    for_each_use(shallow, [&](Value v) { used.push_back(v); });
    for (const auto& results : step.results) used.insert(used.end(), results.begin(), results.end());
    for (const Value v : used) {
      const ValueInfo& info = g_.info(v);
      if (p_.leaf(v) || info.type.kind != Kind::Tensor ||
          (info.leaf != LeafKind::Variable && info.leaf != LeafKind::Constant))
        continue;
      if (info.leaf == LeafKind::Variable) {
        if (const auto it = owner_.find(info.index); it != owner_.end()) {
          p_.leaves[v.id] = {it->second.first, it->second.second};
          continue;
        }
      }
      const int id = static_cast<int>(p_.modules.size());
      Module m;
      if (info.leaf == LeafKind::Variable) {
        const Variable& variable = g_.variables->at(static_cast<size_t>(info.index));
        m.type = variable.trainable ? "nn.Parameter" : "buffer";
        m.path = variable.name;
        m.tensors = {{.key = "", .variable = info.index, .buffer = !variable.trainable}};
        m.args = {shape_argument(variable.dims())};
        owner_[info.index] = {id, ""};
      } else {
        m.type = "buffer";
        m.path = (step.path.empty() ? "" : step.path + "/") + (info.name.empty() ? "constant" : info.name);
        m.tensors = {{.key = "", .constant = info.index, .buffer = true}};
      }
      p_.modules.push_back(std::move(m));
      p_.leaves[v.id] = {id, ""};
    }
  });
}

void Raiser::report_unsupported() const {
  if (unsupported_.empty()) return;
  std::string list;
  for (const std::string& line : unsupported_) list += "\n" + line;
  throw Error(ErrorKind::Unsupported, g_.name,
              fmt::format("{} operators have no spelling in Python:{}", unsupported_.size(), list));
}

}  // namespace

Program raise(const Graph& graph, const EmitOptions& options) {
  Program program;
  program.graph = &graph;
  Raiser raiser(graph, options, program);
  Module model;
  model.body = raiser.block(graph.body);
  raiser.report_unsupported();
  raiser.find_loose_tensors(model.body);
  for (const Input& input : graph.inputs) model.inputs.push_back(input.value);
  for (const Output& output : graph.outputs) model.outputs.push_back(raiser.resolve(output.value));
  program.model = static_cast<int>(program.modules.size());
  program.modules.push_back(std::move(model));
  return program;
}

}  // namespace midstream::emit
