// The invariants of a graph. A broken one is a bug of ours (a pass, the builder), never of the user's file.
#include <unordered_set>

#include "base/error.h"
#include "graph/call.h"
#include "graph/dialect.h"
#include "graph/graph.h"

namespace midstream {
namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, const Dialect* dialect) : g_(graph), dialect_(dialect) {}

  void run() {
    for (size_t i = 0; i < g_.inputs.size(); ++i) {
      const ValueInfo& info = g_.info(known(g_.inputs[i].value));
      check(info.leaf == LeafKind::Input && info.index == static_cast<int32_t>(i), "an input's value is another leaf");
    }
    check(g_.outputs.size() == g_.body.results.size(), "outputs and results differ in number");
    for (size_t i = 0; i < g_.outputs.size(); ++i)
      check(g_.outputs[i].value == g_.body.results[i], "an output is not the body's result");
    block(g_.body);
  }

 private:
  void check(bool holds, const std::string& what) const {
    if (holds) return;
    std::string where = node_ ? node_->op : "graph";
    if (node_ && node_->origin >= 0) where += " at " + to_string(g_.origin(*node_));
    throw Error(ErrorKind::Internal, where, what + ".");
  }
  Value known(Value v) const {
    check(v && static_cast<size_t>(v.id) < g_.values.size(), "a value is not in the table");
    return v;
  }

  void use(Value v) {
    const ValueInfo& info = g_.info(known(v));
    if (info.leaf == LeafKind::None)
      check(visible_.contains(v.id), "value " + std::to_string(v.id) + " is used before it is defined");
    if (info.leaf == LeafKind::Variable) {
      check(static_cast<size_t>(info.index) < g_.variables->size(), "a variable's leaf has no variable");
      const Variable& variable = g_.variables->at(static_cast<size_t>(info.index));
      check(info.type == Type{Kind::Tensor, variable.dtype, variable.dims()},
            "the leaf of '" + variable.name + "' is not of the variable's type");
    }
    if (info.leaf == LeafKind::Constant)
      check(static_cast<size_t>(info.index) < g_.constants.size(), "a constant's leaf has no array");
    if (info.leaf == LeafKind::Training) check(g_.training == v, "there are two training leaves");
  }
  void define(Value v, std::vector<int32_t>& here) {
    check(g_.info(known(v)).leaf == LeafKind::None, "a leaf is defined by a node");
    check(defined_.insert(v.id).second, "value " + std::to_string(v.id) + " is defined twice");
    visible_.insert(v.id);
    here.push_back(v.id);
  }

  void block(const Block& block) {
    std::vector<int32_t> here;
    for (Value v : block.args) define(v, here);
    for (const auto& node : block.nodes) {
      node_ = node.get();
      check(node->origin < static_cast<int32_t>(g_.origins.size()), "an origin is not in the table");
      for_each_operand(node->args, [&](Value v) { use(v); });
      if (node->kind == NodeKind::Call) call(*node);
      if (node->kind == NodeKind::Assign) assign(*node);
      if (node->kind == NodeKind::Region) {
        for (const Block& inner : node->blocks) this->block(inner);
        node_ = node.get();
        region(*node);
      }
      for (Value v : node->outputs) define(v, here);
    }
    for (Value v : block.results) use(v);
    for (int32_t id : here) visible_.erase(id);  // out of scope
  }

  // Whatever is `given` may stand where `wanted` was promised.
  void fits(const Type& given, const Type& wanted, const std::string& what) const {
    if (given.kind == Kind::List && wanted.kind == Kind::List && given.dims == Dims{kUnknown}) return;  // still empty
    bool ok = given.kind == wanted.kind;
    if (ok && (given.kind == Kind::Tensor || given.kind == Kind::List)) {
      ok = given.dtype == wanted.dtype && given.dims.size() == wanted.dims.size();
      for (size_t i = 0; ok && i < given.dims.size(); ++i)
        ok = wanted.dims[i] == kUnknown || wanted.dims[i] == given.dims[i];
    }
    check(ok, what + " is " + to_string(given) + " where " + to_string(wanted) + " is due");
  }

  void call(const Node& node) {
    check(node.blocks.empty(), "a call has blocks");
    if (!dialect_) return;
    BoundCall bound = bind_call(g_, *dialect_, node.op, node.args, to_string(g_.origin(node)));
    check(bound.args.size() == node.args.size(), "arguments equal to their defaults are kept");
    for (size_t i = 0; i < bound.args.size(); ++i)
      check(bound.args[i].name == node.args[i].name && bound.args[i].value.variant() == node.args[i].value.variant(),
            "argument '" + node.args[i].name + "' is not in the schema's order or form");
    CallOutputs outputs = infer_outputs(g_, *dialect_, bound, to_string(g_.origin(node)));
    check(outputs.infos.size() == node.outputs.size(), "a call has the wrong number of outputs");
    check(outputs.is_list == node.unpacks_list, "a call's list is not unpacked");
    for (size_t i = 0; i < outputs.infos.size(); ++i)
      fits(outputs.infos[i].type, g_.type(known(node.outputs[i])), "a result");
  }

  void assign(const Node& node) const {
    const Arg *variable = node.arg("variable"), *value = node.arg("value");
    check(variable && value && std::holds_alternative<Value>(variable->variant()) &&
              std::holds_alternative<Value>(value->variant()),
          "an assignment lacks its variable or value");
    const ValueInfo& target = g_.info(std::get<Value>(variable->variant()));
    check(target.leaf == LeafKind::Variable, "something else than a variable is assigned");
    const Type& given = g_.type(std::get<Value>(value->variant()));
    check(given.kind == Kind::Tensor && given.dtype == target.type.dtype, "the assigned value has another type");
  }

  void region(const Node& node) const {
    const auto& blocks = node.blocks;
    if (node.op == "if") {
      check(blocks.size() == 2 && blocks[0].args.empty() && blocks[1].args.empty(),
            "an if has two blocks without arguments");
      const Arg* cond = node.arg("cond");
      check(cond && g_.type(std::get<Value>(cond->variant())).kind == Kind::Bool, "an if needs a host bool");
      for (const Block& b : blocks) gives(b.results, node.outputs);
    } else if (node.op == "while") {
      check(blocks.size() == 2, "a while has two blocks");
      const Arg* init = node.arg("init");
      check(init && std::holds_alternative<std::vector<Value>>(init->variant()), "a while needs initial values");
      const auto& values = std::get<std::vector<Value>>(init->variant());
      check(values.size() == node.outputs.size(), "a while carries and gives different numbers of values");
      for (const Block& b : blocks) gives(values, b.args);
      check(blocks[0].results.size() == 1 && g_.type(blocks[0].results[0]).kind == Kind::Bool,
            "a while's condition gives one host bool");
      gives(blocks[1].results, blocks[1].args);
      gives(blocks[1].results, node.outputs);
    } else {
      check(node.op == "call" && blocks.size() == 1, "there is no region of this name");
      gives(blocks[0].results, node.outputs);
    }
  }
  void gives(const std::vector<Value>& results, const std::vector<Value>& promised) const {
    check(results.size() == promised.size(),
          "a block gives " + std::to_string(results.size()) + " values, not " + std::to_string(promised.size()));
    for (size_t i = 0; i < results.size(); ++i) fits(g_.type(results[i]), g_.type(promised[i]), "a block's result");
  }

  const Graph& g_;
  const Dialect* dialect_;
  const Node* node_ = nullptr;
  std::unordered_set<int32_t> defined_, visible_;
};

}  // namespace

void verify(const Graph& graph, const Dialect* dialect) { Verifier(graph, dialect).run(); }

}  // namespace midstream
