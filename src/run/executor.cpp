// The plan: every node becomes a step with its operator resolved, its constant arguments converted once, and the list
// of values that die with it. A run owns one frame of IValues, so runs do not share anything but the variables.
#include "run/executor.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <fmt/format.h>

#include <set>

#include "base/error.h"
#include "libtorch/convert.h"
#include "libtorch/dialect.h"
#include "libtorch/workarounds.h"
#include "passes/pass_manager.h"

namespace midstream {
namespace {

using Frame = std::vector<c10::IValue>;

// One argument of a call: a constant, a value, or a list with values in it.
struct ArgPlan {
  enum class Form : uint8_t { Constant, Single, Ints, Tensors, OptionalTensors } form = Form::Constant;
  c10::IValue constant;
  int32_t value = -1;
  bool dies = false;  // the last use: moved out of the frame
  std::vector<IntArg> ints;
  std::vector<Value> values;
};

struct Step;

struct BlockPlan {
  std::vector<int32_t> args, results;
  std::vector<Step> steps;
};

struct Step {
  const Node* node = nullptr;
  enum class Do : uint8_t { Call, If, While, Scope, Assign } act = Do::Call;
  std::optional<c10::OperatorHandle> op;
  std::vector<ArgPlan> args;
  std::vector<int32_t> outputs;
  bool unpacks = false;
  Workaround workaround = nullptr;
  std::vector<int32_t> dying;  // values of this block that nothing needs afterwards
  std::vector<BlockPlan> blocks;
  size_t variable = 0;  // Assign
};

std::pair<std::string, std::string> split_overload(const std::string& op) {
  size_t dot = op.find('.');
  if (dot == std::string::npos) return {op, ""};
  return {op.substr(0, dot), op.substr(dot + 1)};
}

// --- planning

class Planner {
 public:
  Planner(const Graph& graph, at::Device device) : graph_(graph), device_(device) {}

  BlockPlan plan(const Block& block, bool top) {
    BlockPlan out;
    for (Value v : block.args) out.args.push_back(v.id);
    for (Value v : block.results) out.results.push_back(v.id);
    for (const auto& node : block.nodes) out.steps.push_back(step(*node));
    mark_deaths(block, out, top);
    return out;
  }

 private:
  Step step(const Node& node) {
    Step s;
    s.node = &node;
    for (Value v : node.outputs) s.outputs.push_back(v.id);
    for (const Block& b : node.blocks) s.blocks.push_back(plan(b, false));
    switch (node.kind) {
      case NodeKind::Call: call(node, s); break;
      case NodeKind::Region:
        s.act = node.op == "if" ? Step::Do::If : node.op == "while" ? Step::Do::While : Step::Do::Scope;
        if (s.act == Step::Do::If) {
          s.args.push_back(single(std::get<Value>(node.arg("cond")->variant())));
        } else if (const Arg* init = node.arg(s.act == Step::Do::While ? "init" : "inputs")) {
          for (Value v : std::get<std::vector<Value>>(init->variant())) s.args.push_back(single(v));
        }
        break;
      case NodeKind::Assign: {
        s.act = Step::Do::Assign;
        Value target = std::get<Value>(node.arg("variable")->variant());
        s.variable = static_cast<size_t>(graph_.info(target).index);
        s.args.push_back(single(std::get<Value>(node.arg("value")->variant())));
        break;
      }
    }
    return s;
  }

  static ArgPlan single(Value v) {
    ArgPlan a;
    a.form = ArgPlan::Form::Single;
    a.value = v.id;
    return a;
  }

  void call(const Node& node, Step& s) {
    auto [name, overload] = split_overload(node.op);
    s.op = c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), overload.c_str());
    s.unpacks = node.unpacks_list;
    s.workaround = workaround_for(node.op);
    for (const c10::Argument& declared : s.op->schema().arguments()) s.args.push_back(argument(node, declared));
  }

  ArgPlan argument(const Node& node, const c10::Argument& declared) {
    ArgPlan a;
    const Arg* given = node.arg(declared.name());
    if (!given) {
      if (declared.default_value()) a.constant = *declared.default_value();
      // Factories make their tensors where the model is.
      if (declared.name() == "device" && device_ != at::Device(at::kCPU)) a.constant = device_;
      return a;
    }
    const ArgVariant& arg = given->variant();
    if (auto* v = std::get_if<Value>(&arg)) return single(*v);
    if (auto* ints = std::get_if<std::vector<IntArg>>(&arg)) {
      for (const IntArg& i : *ints) {
        if (!std::holds_alternative<Value>(i)) continue;
        a.form = ArgPlan::Form::Ints;
        a.ints = *ints;
        return a;
      }
    }
    if (auto* values = std::get_if<std::vector<Value>>(&arg)) {
      bool optional = declared.type()->str().find("Tensor?") != std::string::npos ||
                      declared.type()->str().find("Optional[Tensor]") != std::string::npos;
      a.form = optional ? ArgPlan::Form::OptionalTensors : ArgPlan::Form::Tensors;
      a.values = *values;
      return a;
    }
    a.constant = to_ivalue(*given, declared);
    return a;
  }

  // Values defined in this block die at their last use in it; a use inside a nested block counts as one of the region.
  void mark_deaths(const Block& block, BlockPlan& plan, bool top) {
    std::unordered_map<int32_t, size_t> last;
    for (size_t i = 0; i < block.nodes.size(); ++i) {
      for (Value v : block.nodes[i]->outputs) last[v.id] = i;
      note_uses(*block.nodes[i], i, last);
    }
    for (Value v : block.results) last.erase(v.id);
    for (Value v : block.args) last.emplace(v.id, block.nodes.size());
    std::unordered_map<int32_t, bool> mine;
    for (const auto& node : block.nodes)
      for (Value v : node->outputs) mine[v.id] = true;
    for (auto [id, i] : last) {
      bool own = mine.count(id) || (top && graph_.values[static_cast<size_t>(id)].leaf == LeafKind::Input);
      if (!own || i >= plan.steps.size()) continue;
      Step& s = plan.steps[i];
      if (s.act == Step::Do::Call && move_once(s, id)) continue;
      s.dying.push_back(id);
    }
  }

  static bool move_once(Step& s, int32_t id) {
    ArgPlan* found = nullptr;
    int uses = 0;
    for (ArgPlan& a : s.args) {
      if (a.form == ArgPlan::Form::Single && a.value == id) found = &a, ++uses;
      for (Value v : a.values) uses += v.id == id ? 2 : 0;
      for (const IntArg& i : a.ints)
        if (auto* v = std::get_if<Value>(&i)) uses += v->id == id ? 2 : 0;
    }
    for (int32_t out : s.outputs)
      if (out == id) return false;
    if (uses != 1) return false;
    found->dies = true;
    return true;
  }

  static void note_uses(const Node& node, size_t at, std::unordered_map<int32_t, size_t>& last) {
    for_each_operand(node.args, [&](Value v) { last[v.id] = at; });
    for (const Block& b : node.blocks) {
      for (const auto& inner : b.nodes) note_uses(*inner, at, last);
      for (Value v : b.results) last[v.id] = at;
    }
  }

  const Graph& graph_;
  at::Device device_;
};

void note_assigned(const BlockPlan& block, std::set<size_t>& variables) {
  for (const Step& s : block.steps) {
    if (s.act == Step::Do::Assign) variables.insert(s.variable);
    for (const BlockPlan& inner : s.blocks) note_assigned(inner, variables);
  }
}

// --- running

struct Run {
  const Graph& graph;
  Frame& frame;
  std::vector<std::pair<size_t, at::Tensor>> pending;  // assignments, in program order
  const Executor::Observer* observer = nullptr;

  c10::IValue load(int32_t id) const { return frame[static_cast<size_t>(id)]; }

  void push(const ArgPlan& a, std::vector<c10::IValue>& stack) {
    switch (a.form) {
      case ArgPlan::Form::Constant: stack.push_back(a.constant); break;
      case ArgPlan::Form::Single:
        if (a.dies) {
          stack.push_back(std::move(frame[static_cast<size_t>(a.value)]));
        } else {
          stack.push_back(load(a.value));
        }
        break;
      case ArgPlan::Form::Ints: {
        std::vector<int64_t> ints;
        ints.reserve(a.ints.size());
        for (const IntArg& i : a.ints)
          ints.push_back(std::holds_alternative<Value>(i) ? load(std::get<Value>(i).id).toInt() : std::get<int64_t>(i));
        stack.push_back(std::move(ints));
        break;
      }
      case ArgPlan::Form::Tensors: {
        c10::List<at::Tensor> list;
        list.reserve(a.values.size());
        for (Value v : a.values) list.push_back(load(v.id).toTensor());
        stack.push_back(std::move(list));
        break;
      }
      case ArgPlan::Form::OptionalTensors: {
        c10::List<std::optional<at::Tensor>> list;
        for (Value v : a.values) list.push_back(v ? std::optional<at::Tensor>(load(v.id).toTensor()) : std::nullopt);
        stack.push_back(std::move(list));
        break;
      }
    }
  }

  void call(const Step& s, std::vector<c10::IValue>& stack) {
    stack.clear();
    for (const ArgPlan& a : s.args) push(a, stack);
    if (s.workaround) s.workaround(stack);
    s.op->callBoxed(&stack);
    if (s.unpacks) {
      auto tensors = stack.at(0).toTensorVector();
      if (tensors.size() != s.outputs.size())
        throw Error(ErrorKind::Mismatch, to_string(graph.origin(*s.node)),
                    s.node->op + " gave " + std::to_string(tensors.size()) + " tensors, " +
                        std::to_string(s.outputs.size()) + " were expected.");
      for (size_t i = 0; i < tensors.size(); ++i) frame[static_cast<size_t>(s.outputs[i])] = std::move(tensors[i]);
    } else {
      for (size_t i = 0; i < s.outputs.size(); ++i) frame[static_cast<size_t>(s.outputs[i])] = std::move(stack[i]);
    }
  }

  std::vector<c10::IValue> take(const std::vector<int32_t>& ids) const {
    std::vector<c10::IValue> out;
    for (int32_t id : ids) out.push_back(load(id));
    return out;
  }
  void give(const std::vector<int32_t>& ids, std::vector<c10::IValue> values) {
    for (size_t i = 0; i < ids.size(); ++i) frame[static_cast<size_t>(ids[i])] = std::move(values[i]);
  }

  void loop(const Step& s) {
    const BlockPlan &cond = s.blocks[0], &body = s.blocks[1];
    std::vector<c10::IValue> carried;
    for (const ArgPlan& a : s.args) carried.push_back(load(a.value));
    while (true) {
      give(cond.args, carried);
      block(cond);
      if (!load(cond.results[0]).toBool()) break;
      give(body.args, std::move(carried));
      block(body);
      carried = take(body.results);
    }
    give(s.outputs, std::move(carried));
  }

  void region(const Step& s) {
    if (s.act == Step::Do::While) return loop(s);
    size_t which = 0;
    if (s.act == Step::Do::If) which = load(s.args[0].value).toBool() ? 0 : 1;
    if (s.act == Step::Do::Scope) {
      std::vector<c10::IValue> in;
      for (const ArgPlan& a : s.args) in.push_back(load(a.value));
      give(s.blocks[0].args, std::move(in));
    }
    block(s.blocks[which]);
    give(s.outputs, take(s.blocks[which].results));
  }

  void observe(const Step& s) {
    std::vector<at::Tensor> outputs;
    for (int32_t id : s.outputs)
      if (load(id).isTensor()) outputs.push_back(load(id).toTensor());
    (*observer)(*s.node, outputs);
  }

  // Of a look-up in a table that failed with these arguments: the first index that has no row, and where it is. Empty
  // for everything else.
  static std::string index_beyond(const Step& s, const std::vector<c10::IValue>& arguments) {
    if (!s.node->op.ends_with("embedding")) return {};
    at::Tensor table, indices;
    for (const c10::IValue& a : arguments) {
      if (!a.isTensor()) continue;
      (at::isIntegralType(a.toTensor().scalar_type(), false) ? indices : table) = a.toTensor();
    }
    if (!table.defined() || !indices.defined() || indices.dim() == 0) return {};
    const at::Tensor bad = at::logical_or(at::lt(indices, 0), at::ge(indices, table.size(0)));
    if (!bad.any().item<bool>()) return {};
    return fmt::format("the index {} in sample {} has no row in its table, which has {}: 0 to {}.",
                       indices.masked_select(bad)[0].item<int64_t>(), at::nonzero(bad)[0][0].item<int64_t>(),
                       table.size(0), table.size(0) - 1);
  }

  void block(const BlockPlan& plan) {
    std::vector<c10::IValue> stack;
    for (const Step& s : plan.steps) {
      try {
        if (s.act == Step::Do::Call) {
          call(s, stack);
        } else if (s.act == Step::Do::Assign) {
          pending.emplace_back(s.variable, load(s.args[0].value).toTensor());
        } else {
          region(s);
        }
      } catch (const Error&) {
        throw;
      } catch (const std::exception& error) {
        if (const std::string text = index_beyond(s, stack); !text.empty())
          throw Error(ErrorKind::BadData, to_string(graph.origin(*s.node)), text);
        throw Error(ErrorKind::BadData, to_string(graph.origin(*s.node)), s.node->op + ": " + torch_message(error));
      }
      if (observer) observe(s);
      for (int32_t id : s.dying) frame[static_cast<size_t>(id)] = c10::IValue();
    }
  }
};

}  // namespace

struct Executor::Plan {
  std::unique_ptr<Graph> graph;
  std::shared_ptr<VariableStore> variables;
  bool training;
  BlockPlan body;
  std::vector<std::pair<int32_t, c10::IValue>> constants;
  struct Leaf {
    int32_t value;
    size_t variable;
    bool assigned;  // by this graph
  };
  std::vector<Leaf> leaves;

  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, bool assign, const Observer* observer) const {
    if (inputs.size() != graph->inputs.size())
      throw Error(ErrorKind::BadData, graph->name,
                  "the graph has " + std::to_string(graph->inputs.size()) + " inputs, " +
                      std::to_string(inputs.size()) + " were given.");
    Frame frame(graph->values.size());
    for (size_t i = 0; i < inputs.size(); ++i) frame[static_cast<size_t>(graph->inputs[i].value.id)] = inputs[i];
    for (const auto& [id, value] : constants) frame[static_cast<size_t>(id)] = value;
    for (const Leaf& leaf : leaves) {
      const at::Tensor& t = variables->tensor(leaf.variable);
      // Backward runs after the assignments and must still see what forward read.
      const bool keep = leaf.assigned && assign && at::GradMode::is_enabled() && !t.requires_grad();
      frame[static_cast<size_t>(leaf.value)] = keep ? t.clone() : t;
    }
    if (graph->training) frame[static_cast<size_t>(graph->training.id)] = training;

    Run state{*graph, frame, {}, observer};
    state.block(body);
    std::vector<at::Tensor> outputs;
    for (int32_t id : body.results) outputs.push_back(to_output(frame[static_cast<size_t>(id)]));
    if (assign) write(state.pending);
    return outputs;
  }

  static at::Tensor to_output(const c10::IValue& v) {
    if (v.isTensor()) return v.toTensor();
    if (v.isInt()) return at::scalar_tensor(v.toInt(), at::kLong);
    if (v.isBool()) return at::scalar_tensor(v.toBool(), at::kBool);
    if (v.isDouble()) return at::scalar_tensor(v.toDouble(), at::kDouble);
    return {};
  }

  void write(const std::vector<std::pair<size_t, at::Tensor>>& pending) const {
    at::NoGradGuard no_grad;
    for (const auto& [index, value] : pending) variables->tensor(index).copy_(value);
  }
};

// Host numbers stay on the host.
static c10::IValue constant(Kind kind, const at::Tensor& tensor, at::Device device) {
  if (kind == Kind::Int) return tensor.item<int64_t>();
  if (kind == Kind::Bool) return tensor.item<bool>();
  if (kind == Kind::Float) return tensor.item<double>();
  return tensor.to(device);
}

Executor::Executor(const Graph& graph, std::shared_ptr<VariableStore> variables, bool training, bool optimize)
    : plan_(std::make_unique<Plan>()) {
  libtorch_dialect();  // our own operators are registered with it
  plan_->graph = graph.clone();
  if (optimize) run_passes(*plan_->graph, libtorch_dialect(), {.training = training});
  plan_->variables = std::move(variables);
  plan_->training = training;
  at::Device device = plan_->variables->device();
  plan_->body = Planner(*plan_->graph, device).plan(plan_->graph->body, true);
  std::set<size_t> assigned;
  note_assigned(plan_->body, assigned);
  for (size_t i = 0; i < plan_->graph->values.size(); ++i) {
    const ValueInfo& info = plan_->graph->values[i];
    int32_t id = static_cast<int32_t>(i);
    if (info.leaf == LeafKind::Constant)
      plan_->constants.emplace_back(
          id, constant(info.type.kind, to_tensor(plan_->graph->constants[static_cast<size_t>(info.index)]), device));
    const size_t variable = static_cast<size_t>(info.index);
    if (info.leaf == LeafKind::Variable) plan_->leaves.push_back({id, variable, assigned.count(variable) > 0});
  }
}

Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;

std::vector<at::Tensor> Executor::run(const std::vector<at::Tensor>& inputs, bool assign) const {
  return plan_->run(inputs, assign, nullptr);
}

std::vector<at::Tensor> Executor::run_observed(const std::vector<at::Tensor>& inputs, const Observer& observe) const {
  return plan_->run(inputs, false, &observe);
}

}  // namespace midstream
