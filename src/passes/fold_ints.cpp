// Host numbers that are known: they are written where they are used, and what is computed from them alone is computed.
#include "graph/builder_names.h"
#include "graph/call.h"
#include "passes/passes.h"

namespace midstream {
namespace {

bool is_host(Kind kind) { return kind == Kind::Int || kind == Kind::Float || kind == Kind::Bool; }

class Folder {
 public:
  Folder(Graph& graph, const Dialect& dialect) : graph_(graph), dialect_(dialect) {}

  bool run() {
    fold(graph_.body);
    replace_uses(graph_, replaced_);
    return changed_;
  }

 private:
  const Array* constant(Value v) const {
    const ValueInfo& info = graph_.info(v);
    if (info.leaf != LeafKind::Constant || !is_host(info.type.kind)) return nullptr;
    return &graph_.constants[static_cast<size_t>(info.index)];
  }

  void fold(Block& block) {
    for (auto& node : block.nodes) {
      replace_operands(node->args, replaced_);
      for (Block& inner : node->blocks) fold(inner);
      if (node->kind != NodeKind::Call) continue;
      write_constants(*node);
      if (node->outputs.size() != 1 || !is_host(graph_.type(node->outputs[0]).kind)) {
        if (node->op == op::kIntToTensor) to_tensor_[node->outputs[0].id] = *node->arg("a");
        continue;
      }
      size(*node);
      from_tensor(*node);
      evaluate(*node);
    }
  }

  // Values that are host constants become literals of the arguments.
  void write_constants(Node& node) {
    bool wrote = false;
    for (NamedArg& a : node.args) {
      ArgVariant& variant = a.value;
      if (auto* v = std::get_if<Value>(&variant); v && *v) {
        const Array* c = constant(*v);
        if (!c) continue;
        const Kind kind = graph_.type(*v).kind;
        if (kind == Kind::Int)
          variant = c->to_int64()[0];
        else if (kind == Kind::Bool)
          variant = c->to_int64()[0] != 0;
        else
          variant = c->to_double()[0];
        wrote = true;
      } else if (auto* ints = std::get_if<std::vector<IntArg>>(&variant)) {
        for (IntArg& i : *ints) {
          auto* x = std::get_if<Value>(&i);
          if (!x) continue;
          const Array* c = constant(*x);
          if (!c) continue;
          i = c->to_int64()[0];
          wrote = true;
        }
      }
    }
    if (!wrote) return;
    // It may be the default now, which is not written.
    node.args = bind_call(graph_, dialect_, node.op, node.args, to_string(graph_.origin(node))).args;
    changed_ = true;
  }

  void size(const Node& node) {
    if (node.op != op::kSize) return;
    const Type& type = graph_.type(std::get<Value>(node.arg("self")->variant()));
    auto* dim = std::get_if<int64_t>(&node.arg("dim")->variant());
    if (!dim) return;
    const int64_t axis = *dim < 0 ? *dim + static_cast<int64_t>(type.dims.size()) : *dim;
    const int64_t known = type.dims[static_cast<size_t>(axis)];
    if (known != kUnknown) replace(node.outputs[0], Sample{.dims = {}, .number = known, .real = 0});
  }

  // A host integer that went into a tensor and comes back.
  void from_tensor(const Node& node) {
    if (node.op != op::kTensorToInt) return;
    auto it = to_tensor_.find(std::get<Value>(node.arg("a")->variant()).id);
    if (it == to_tensor_.end()) return;
    if (auto* v = std::get_if<Value>(&it->second.variant())) {
      replaced_[node.outputs[0].id] = *v;
      changed_ = true;
    } else if (auto* number = std::get_if<int64_t>(&it->second.variant())) {
      replace(node.outputs[0], Sample{.dims = {}, .number = *number, .real = 0});
    }
  }

  // A call of constants alone: its example is its value.
  void evaluate(const Node& node) {
    bool constant = true;
    for_each_operand(node.args, [&](Value) { constant = false; });
    if (constant && !dialect_.schema(node.op).random && !replaced_.contains(node.outputs[0].id)) {
      const std::string where = to_string(graph_.origin(node));
      CallOutputs out = infer_outputs(graph_, dialect_, bind_call(graph_, dialect_, node.op, node.args, where), where);
      replace(node.outputs[0], out.infos[0].samples[0]);
    }
  }

  void replace(Value v, const Sample& sample) {
    const Kind kind = graph_.type(v).kind;
    ValueInfo info;
    info.type = graph_.type(v);
    info.samples = {sample, sample};
    info.leaf = LeafKind::Constant;
    info.index = static_cast<int32_t>(graph_.constants.size());
    if (kind == Kind::Int)
      graph_.constants.push_back(Array::of(DType::Int64, {}, std::vector<int64_t>{sample.number}));
    else if (kind == Kind::Bool)
      graph_.constants.push_back(Array::of(DType::Bool, {}, std::vector<uint8_t>{sample.number != 0}));
    else
      graph_.constants.push_back(Array::of(DType::Float64, {}, std::vector<double>{sample.real}));
    replaced_[v.id] = graph_.add_value(std::move(info));
    changed_ = true;
  }

  Graph& graph_;
  const Dialect& dialect_;
  std::unordered_map<int32_t, Value> replaced_;
  std::unordered_map<int32_t, Arg> to_tensor_;  // tensor -> the host integer in it
  bool changed_ = false;
};

}  // namespace

bool fold_ints(Graph& graph, const Dialect& dialect) { return Folder(graph, dialect).run(); }

}  // namespace midstream
