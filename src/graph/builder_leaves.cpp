// Leaves: inputs, variables, constants, the training flag; and in which layout a variable is stored.
//
// A variable's leaf always has the stored layout. Where the source's layout is asked for and differs, view operations
// (the inverse chain) stand at the top of the body, before everything that may use them; unused ones are swept away.
#include "graph/builder.h"
#include "graph/call.h"
#include "graph/in_block.h"

namespace midstream {

Value Builder::input(std::string name, Type type) {
  ValueInfo info;
  info.samples = default_samples(graph_, type);
  info.type = std::move(type);
  info.leaf = LeafKind::Input;
  info.index = static_cast<int32_t>(graph_.inputs.size());
  info.name = name;
  Value v = graph_.add_value(std::move(info));
  graph_.inputs.push_back({std::move(name), v});
  return v;
}

static ValueInfo variable_info(const Variable& variable, size_t index) {
  ValueInfo info;
  info.type = Type{Kind::Tensor, variable.dtype, variable.dims()};
  for (Sample& s : info.samples) s.dims = info.type.dims;
  info.leaf = LeafKind::Variable;
  info.index = static_cast<int32_t>(index);
  info.name = variable.name;
  return info;
}

Value Builder::leaf(const std::string& name) {
  if (auto it = stored_.find(name); it != stored_.end()) return it->second;
  const size_t index = graph_.variables->index_of(name);
  // Another builder of this graph may have made it.
  for (size_t id = 0; id < graph_.values.size(); ++id) {
    const ValueInfo& info = graph_.values[id];
    if (info.leaf == LeafKind::Variable && info.index == static_cast<int32_t>(index))
      return stored_[name] = Value{static_cast<int32_t>(id)};
  }
  return stored_[name] = graph_.add_value(variable_info(graph_.variables->at(index), index));
}

Value Builder::stored(const std::string& name) {
  Value v = leaf(name);
  graph_.variables->find(name)->layout_chooser = Variable::kLayoutFixed;
  return v;
}

Value Builder::variable(const std::string& name) {
  if (auto it = variables_.find(name); it != variables_.end()) return it->second;
  Value v = leaf(name);
  Variable& variable = *graph_.variables->find(name);
  if (!variable.stored_as.empty()) {
    v = source_view(name, v);
  } else {
    // The first graph that asks may still choose a layout; a second one cannot change it under the first one's feet.
    variable.layout_chooser = variable.layout_chooser == 0 || variable.layout_chooser == graph_.serial
                                  ? graph_.serial
                                  : Variable::kLayoutFixed;
  }
  return variables_[name] = v;
}

Value Builder::source_view(const std::string& name, Value leaf) {
  Block top;
  Value v;
  {
    InBlock in(*this, top);
    v = views(leaf, inverse(graph_.variables->find(name)->stored_as));
  }
  auto& nodes = graph_.body.nodes;
  nodes.insert(nodes.begin(), std::make_move_iterator(top.nodes.begin()), std::make_move_iterator(top.nodes.end()));
  return v;
}

Value Builder::views(Value v, const Transforms& chain) {
  for (const Transform& t : chain) {
    if (auto* p = std::get_if<Permute>(&t)) {
      v = permute(v, p->perm);
    } else if (auto* r = std::get_if<Reshape>(&t)) {
      v = reshape(v, Ints(r->to.begin(), r->to.end()));
    } else if (auto* f = std::get_if<Flip>(&t)) {
      v = flip(v, f->axes);
    } else {
      const auto& blocks = std::get<Blocks>(t);
      const int64_t axis = blocks.axis < 0 ? blocks.axis + rank(v) : blocks.axis;
      const int64_t length = dims(v)[static_cast<size_t>(axis)] / static_cast<int64_t>(blocks.order.size());
      Values parts;
      for (int64_t block : blocks.order) parts.push_back(slice(v, axis, block * length, (block + 1) * length));
      v = concat(parts, axis);
    }
  }
  return v;
}

Value Builder::stored_as(Value v, const Transforms& chain) {
  if (chain.empty()) return v;
  midstream::apply(chain, dims(v));  // throws if it does not fit
  for (const auto& [name, raw] : variables_) {
    if (raw != v) continue;
    Variable& variable = *graph_.variables->find(name);
    if (variable.stored_as == chain) return leaf(name);
    if (variable.stored_as.empty() && variable.layout_chooser == graph_.serial)
      return choose_layout(variable, raw, chain);
    return views(v, chain);
  }
  if (graph_.info(v).leaf == LeafKind::Constant) return constant_as(v, chain);
  if (Value stored = pointwise_stored_as(v, chain)) return stored;
  return views(v, chain);
}

// From now on the variable is stored that way: a new leaf, and `raw`, which others may hold already, becomes a view.
Value Builder::choose_layout(Variable& variable, Value raw, const Transforms& chain) {
  const size_t index = graph_.variables->index_of(variable.name);
  variable.stored_as = chain;
  variable.layout_chooser = Variable::kLayoutFixed;
  Value stored = graph_.add_value(variable_info(variable, index));
  stored_[variable.name] = stored;
  Value view = source_view(variable.name, stored);
  if (view == stored) fail(ErrorKind::Internal, "the transforms of " + variable.name + " do nothing.");
  // The last view node gives `raw` instead of `view`; the views are the first nodes of the body.
  for (auto& node : graph_.body.nodes) {
    if (node->outputs != Values{view}) continue;
    node->outputs[0] = raw;
    break;
  }
  ValueInfo& info = graph_.info(raw);
  info.leaf = LeafKind::None;
  info.index = -1;
  info.name.clear();
  return stored;
}

Value Builder::constant_as(Value v, const Transforms& chain) {
  const ValueInfo& info = graph_.info(v);
  return constant(midstream::apply(chain, graph_.constants[static_cast<size_t>(info.index)]), info.name);
}

// Mixed precision casts a weight before it is used: the cast of a weight is re-arranged by re-arranging the weight.
Value Builder::pointwise_stored_as(Value v, const Transforms& chain) {
  for (auto it = block_->nodes.rbegin(); it != block_->nodes.rend(); ++it) {
    const Node& node = **it;
    if (node.outputs != Values{v}) continue;
    if (node.kind != NodeKind::Call || !dialect_.schema(node.op).pointwise) return {};
    Values operands;
    for_each_operand(node.args, [&](Value x) { operands.push_back(x); });
    if (operands.size() != 1 || dims(operands[0]) != dims(v)) return {};
    const Value weight = operands[0];
    bool is_variable = false;
    for (const auto& [name, raw] : variables_) is_variable |= raw == weight;
    if (!is_variable) return {};
    const std::string op = node.op;
    Args args = node.args;
    replace_operands(args, {{weight.id, stored_as(weight, chain)}});
    return call(op, std::move(args));
  }
  return {};
}

Value Builder::constant(Array array, std::string name) {
  ValueInfo info;
  info.type = Type{Kind::Tensor, array.dtype(), array.shape()};
  for (Sample& s : info.samples) s.dims = array.shape();
  info.leaf = LeafKind::Constant;
  info.index = static_cast<int32_t>(graph_.constants.size());
  info.name = std::move(name);
  graph_.constants.push_back(std::move(array));
  return graph_.add_value(std::move(info));
}

Value Builder::value_of(const Int& i) {
  if (!i.is_constant()) return i.value();
  Value v = constant(Array::of(DType::Int64, {}, std::vector<int64_t>{i.constant()}));
  graph_.info(v).type = Type{Kind::Int, DType::Int64, {}};
  for (Sample& s : graph_.info(v).samples) s.number = i.constant();
  return v;
}

Value Builder::host_bool(bool b) {
  Value v = constant(Array::of(DType::Bool, {}, std::vector<uint8_t>{b}));
  graph_.info(v).type = Type{Kind::Bool, DType::Bool, {}};
  for (Sample& s : graph_.info(v).samples) s.number = b;
  return v;
}

Value Builder::training() {
  if (graph_.training) return graph_.training;
  ValueInfo info;
  info.type = Type{Kind::Bool, DType::Bool, {}};
  info.samples = default_samples(graph_, info.type);
  info.leaf = LeafKind::Training;
  info.name = "training";
  return graph_.training = graph_.add_value(std::move(info));
}

void Builder::outputs(std::vector<Output> outputs) {
  graph_.body.results.clear();
  for (const Output& o : outputs) graph_.body.results.push_back(o.value);
  graph_.outputs = std::move(outputs);
}

}  // namespace midstream
