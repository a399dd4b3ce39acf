#include "lower/tensorflow/driver.h"

#include <algorithm>

namespace midstream::tensorflow {

Driver::Driver(Builder& builder, const File& file, const std::map<std::string, std::string>& variable_of_node)
    : b_(builder), file_(file), variable_of_node_(variable_of_node) {
  for (const FunctionDef& f : file.graph.functions) functions_[f.name] = &f;
  top_.body = &body(nullptr);
  frame_ = &top_;
}

Body& Driver::body(const FunctionDef* function) {
  auto [it, fresh] = bodies_.try_emplace(function);
  Body& body = it->second;
  if (!fresh) return body;
  body.function = function;
  body.name = function ? function->name : "";
  for (const NodeDef& node : function ? function->nodes : file_.graph.nodes) body.nodes[node.name] = &node;
  if (function)
    for (size_t i = 0; i < function->inputs.size(); ++i) body.arguments[function->inputs[i].name] = i;
  return body;
}

const FunctionDef& Driver::function(const std::string& name) {
  auto it = functions_.find(name);
  if (it == functions_.end())
    b_.fail(ErrorKind::BadFile, "calls the function " + name + ", which the file does not hold.");
  return *it->second;
}

void Driver::bind(const std::string& tensor, Operand operand) {
  Endpoint e = parse_endpoint(tensor);
  Operands& slots = top_.lowered[e.node];
  if (slots.size() <= static_cast<size_t>(e.index)) slots.resize(static_cast<size_t>(e.index) + 1);
  slots[static_cast<size_t>(e.index)] = std::move(operand);
}

Operand Driver::evaluate(const std::string& tensor) {
  Endpoint e = parse_endpoint(tensor);
  if (!ready(e)) lower_all(e.node);
  return get(e);
}

Operand Driver::output(const std::string& tensor, size_t index) const {
  const Operands* outputs = find(parse_endpoint(tensor).node);
  return outputs && index < outputs->size() ? (*outputs)[index] : Operand();
}

// --- the memo

const Operands* Driver::find(const std::string& node) const {
  for (const Frame* f = frame_; f; f = f->outer) {
    auto it = f->lowered.find(node);
    if (it != f->lowered.end()) return &it->second;
  }
  return nullptr;
}

bool Driver::ready(const Endpoint& e) const { return frame_->body->arguments.count(e.node) || find(e.node); }

size_t Driver::output_index(const NodeDef& node, const Endpoint& e) const {
  if (e.output.empty()) return static_cast<size_t>(e.index);
  const OpEntry* entry = registry().tf_ops.find(node.op);
  if (!entry || entry->outputs.empty()) return static_cast<size_t>(e.index);
  auto it = std::find(entry->outputs.begin(), entry->outputs.end(), e.output);
  if (it == entry->outputs.end())
    throw Error(ErrorKind::Internal, node.name + ", tf." + node.op, "has no output named " + e.output + ".");
  return static_cast<size_t>(it - entry->outputs.begin()) + static_cast<size_t>(e.index);
}

Operand Driver::get(const Endpoint& e) const {
  auto argument = frame_->body->arguments.find(e.node);
  if (argument != frame_->body->arguments.end()) return frame_->arguments->at(argument->second);
  const Operands& outputs = *find(e.node);
  auto node = frame_->body->nodes.find(e.node);
  size_t index = node == frame_->body->nodes.end() ? static_cast<size_t>(e.index) : output_index(*node->second, e);
  if (index >= outputs.size() || !outputs[index].defined())
    throw Error(ErrorKind::Unsupported, e.node, "output " + std::to_string(index) + " is used, but not computed here.");
  return outputs[index];
}

// Depth first with a stack of our own: graphs are deeper than C++ stacks.
void Driver::lower_all(const std::string& wanted) {
  std::vector<std::string> open{wanted};
  std::set<std::string> visiting;
  while (!open.empty()) {
    std::string name = open.back();
    if (ready(Endpoint{.node = name, .output = {}, .index = 0, .control = false})) {
      open.pop_back();
      continue;
    }
    auto it = frame_->body->nodes.find(name);
    if (it == frame_->body->nodes.end())
      throw Error(ErrorKind::BadFile, name, "is used, but the graph has no such node.");
    const NodeDef& node = *it->second;
    bool waits = false;
    if (!is_merge(node) && !is_exit(node) && visiting.insert(name).second) {  // those look for their inputs themselves
      for (const std::string& text : node.inputs) {
        Endpoint e = parse_endpoint(text);
        if (ready(e) || (e.control && !orders(e.node))) continue;
        open.push_back(e.node);
        waits = true;
      }
    }
    if (waits) continue;
    lower_node(node);
    open.pop_back();
  }
}

// A control edge also puts a read before a later assignment.
bool Driver::orders(const std::string& name) {
  auto it = frame_->body->nodes.find(name);
  return it != frame_->body->nodes.end() && (it->second->op == "ReadVariableOp" || matters(name));
}

void Driver::lower_node(const NodeDef& node) {
  Builder::At at(b_, Origin{node.name, "tf." + node.op, 0});
  const OpEntry* entry = registry().tf_ops.find(node.op);
  Operands outputs;
  if (auto variable = variable_of_node_.find(node.name);
      !frame_->body->function && variable != variable_of_node_.end()) {
    outputs.push_back(weight(node, variable->second));
  } else if (is_merge(node)) {
    outputs = merge(node);
  } else if (is_exit(node)) {
    outputs.push_back(exit(node));
  } else if (!entry && functions_.count(node.op)) {  // a function used as an op
    outputs = call_function(node.op, inputs_of(node));
  } else if (!entry) {
    b_.fail(ErrorKind::Unsupported, "has no lowering yet.", "To add one: CONTRIBUTING.md.");
  } else {
    Op op(b_, *this, node, inputs_of(node));
    entry->fn(op);
    outputs = op.results();
  }
  for (const Operand& o : outputs)
    if (const Value* v = o.value(); v && b_.graph().info(*v).name.empty() && b_.graph().info(*v).leaf == LeafKind::None)
      b_.graph().info(*v).name = node.name;
  frame_->lowered[node.name] = std::move(outputs);
}

Operands Driver::inputs_of(const NodeDef& node) {
  Operands inputs;
  for (const std::string& text : node.inputs) {
    Endpoint e = parse_endpoint(text);
    if (!e.control) inputs.push_back(get(e));
  }
  return inputs;
}

// --- functions

Operands Driver::call_function(const std::string& name, const Operands& arguments) {
  const FunctionDef& f = function(name);
  if (arguments.size() != f.inputs.size())
    b_.fail(ErrorKind::BadFile, "calls " + name + " with " + std::to_string(arguments.size()) + " arguments, it has " +
                                    std::to_string(f.inputs.size()) + ".");
  if (++depth_ > 200) b_.fail(ErrorKind::Unsupported, "calls functions that call themselves.");
  Enter enter(*this, body(&f), nullptr);
  enter.frame().arguments = &arguments;
  // What changes variables runs even if nobody uses its result.
  for (const auto& [output, node] : f.control_ret)
    if (matters(node)) evaluate(node);
  Operands results;
  for (const ArgDef& output : f.outputs) {
    auto it = f.ret.find(output.name);
    if (it == f.ret.end()) throw Error(ErrorKind::BadFile, name, "gives no value for its output " + output.name + ".");
    results.push_back(evaluate(it->second));
  }
  --depth_;
  return results;
}

// --- variables

Operand Driver::weight(const NodeDef& node, const std::string& name) {
  if (file_.format == "GraphDef") return b_.variable(name);  // a frozen constant
  return VariableHandle{name, node.op != "VarHandleOp"};
}

Value Driver::read_variable(const std::string& name) {
  auto it = variables_.find(name);
  return it != variables_.end() ? it->second : b_.variable(name);
}

void Driver::assign_variable(const std::string& name, Value value) {
  if (loops_ > 0)
    b_.fail(ErrorKind::Unsupported, "assigns the variable " + name + " inside a loop.",
            "Assign it after the loop, from a value that the loop carries.");
  variables_[name] = value;
}

void Driver::finish() {
  for (const auto& [name, value] : variables_) b_.assign(b_.variable(name), value);
}

// --- regions

namespace {

bool is_host_scalar(const Operand& o) {
  if (const HostInts* h = o.ints()) return h->rank == 0;
  if (const Array* a = o.constant())
    return a->shape().empty() && (a->dtype() == DType::Int32 || a->dtype() == DType::Int64);
  return false;
}

DType host_dtype(const Operand& o) { return o.ints() ? o.ints()->dtype : o.constant()->dtype(); }

Value host_value(Builder& b, const Operand& o) {
  if (const HostInts* h = o.ints()) return b.value_of(h->values.at(0));
  if (is_host_scalar(o)) return b.value_of(Int(o.constant()->to_int64().at(0)));
  return b.value_of(b.as_int(materialize(b, o)));
}

}  // namespace

// How an operand travels through a region: by itself (handles), as host integer, or as tensor.
struct Carrier {
  enum class Form { Fixed, Host, Tensor } form = Form::Tensor;
  Operand fixed;
  DType dtype = DType::Int32;

  static Carrier of(const Operand& o) {
    if (o.variable() || o.opaque() || (o.constant() && o.constant()->dtype() == DType::String))
      return {Form::Fixed, o, DType::Int32};
    if (is_host_scalar(o)) return {Form::Host, {}, host_dtype(o)};
    return {};
  }
  Value pack(Builder& b, const Operand& o) const { return form == Form::Host ? host_value(b, o) : materialize(b, o); }
  Operand unpack(Builder& b, Value v) const {
    if (form == Form::Host) return HostInts{{Int(b, v)}, 0, dtype};
    return v;
  }
};

static Operands unpack_all(Builder& b, const std::vector<Carrier>& carriers, const Values& values) {
  Operands out;
  size_t next = 0;
  for (const Carrier& c : carriers)
    out.push_back(c.form == Carrier::Form::Fixed ? c.fixed : c.unpack(b, values.at(next++)));
  return out;
}

Operands Driver::cond(Value predicate, const std::function<Operands()>& then_fn,
                      const std::function<Operands()>& else_fn) {
  std::vector<Carrier> carriers;
  const auto before = variables_;
  std::map<std::string, Value> after_then, after_else;
  std::vector<std::string> assigned;
  auto pack = [&](const Operands& results) {
    Values values;
    for (size_t i = 0; i < results.size(); ++i)
      if (carriers[i].form != Carrier::Form::Fixed) values.push_back(carriers[i].pack(b_, results[i]));
    return values;
  };
  auto append_variables = [&](Values& values) {
    for (const std::string& name : assigned) values.push_back(read_variable(name));
  };
  // Which variables a branch assigns is known once it is built: both are built for that, then the assigned ones are
  // results of both. Most branches assign none, and are built once.
  auto build = [&] {
    carriers.clear();
    return b_.cond(
        predicate,
        [&] {
          variables_ = before;
          Operands results = then_fn();
          for (const Operand& o : results) carriers.push_back(Carrier::of(o));
          after_then = variables_;
          Values values = pack(results);
          append_variables(values);
          return values;
        },
        [&] {
          variables_ = before;
          Operands results = else_fn();
          if (carriers.empty())  // a constant predicate: only this branch exists
            for (const Operand& o : results) carriers.push_back(Carrier::of(o));
          after_else = variables_;
          Values values = pack(results);
          append_variables(values);
          return values;
        });
  };
  Values values = build();
  for (const auto* after : {&after_then, &after_else})
    for (const auto& [name, value] : *after) {
      auto it = before.find(name);
      if ((it == before.end() || it->second != value) &&
          std::find(assigned.begin(), assigned.end(), name) == assigned.end())
        assigned.push_back(name);
    }
  if (!assigned.empty()) values = build();  // the first one has no users and is removed
  variables_ = before;
  size_t first = values.size() - assigned.size();
  for (size_t i = 0; i < assigned.size(); ++i) variables_[assigned[i]] = values[first + i];
  values.resize(first);
  return unpack_all(b_, carriers, values);
}

Operands Driver::while_loop(const Operands& init, const std::function<Value(const Operands&)>& cond_fn,
                            const std::function<Operands(const Operands&)>& body_fn,
                            const std::vector<bool>& invariant) {
  std::vector<Carrier> carriers;
  Values packed;
  for (size_t i = 0; i < init.size(); ++i) {
    const Operand& o = init[i];
    const bool fixed = i < invariant.size() && invariant[i];
    carriers.push_back(fixed ? Carrier{Carrier::Form::Fixed, o, DType::Int32} : Carrier::of(o));
    if (carriers.back().form != Carrier::Form::Fixed) packed.push_back(carriers.back().pack(b_, o));
  }
  ++loops_;
  Values results = b_.while_loop(
      packed, [&](const Values& v) { return cond_fn(unpack_all(b_, carriers, v)); },
      [&](const Values& v) {
        Operands next = body_fn(unpack_all(b_, carriers, v));
        Values out;
        for (size_t i = 0; i < next.size(); ++i)
          if (carriers[i].form != Carrier::Form::Fixed) out.push_back(carriers[i].pack(b_, next[i]));
        return out;
      });
  --loops_;
  return unpack_all(b_, carriers, results);
}

std::vector<bool> Driver::unchanged(const std::string& function_name) {
  const FunctionDef& f = function(function_name);
  const Body& inner = body(&f);
  std::vector<bool> out;
  for (size_t i = 0; i < f.outputs.size(); ++i) {
    auto ret = f.ret.find(f.outputs[i].name);
    std::string node = ret == f.ret.end() ? std::string() : parse_endpoint(ret->second).node;
    for (auto it = inner.nodes.find(node); it != inner.nodes.end() && it->second->op == "Identity";
         it = inner.nodes.find(node))
      node = parse_endpoint(it->second->inputs.at(0)).node;
    auto argument = inner.arguments.find(node);
    out.push_back(argument != inner.arguments.end() && argument->second == i);
  }
  return out;
}

Operands Driver::in_branch(const std::function<Operands()>& fn) {
  Enter enter(*this, *frame_->body, frame_);
  return fn();
}

Value Driver::predicate(const Operand& o) {
  if (const Value* v = o.value()) {
    if (b_.type(*v).kind == Kind::Bool) return *v;
    return b_.call("midstream::tensor_to_bool", {{"a", *v}});
  }
  if (const Array* a = o.constant()) return b_.host_bool(a->to_int64().at(0) != 0);
  if (const HostInts* h = o.ints()) return b_.call("midstream::int_ne", {{"a", h->values.at(0)}, {"b", 0}});
  b_.fail(ErrorKind::BadFile, "the predicate of a branch is no tensor.");
}

// --- what is missing

void Driver::collect_unsupported(const Body& body, std::vector<std::string> open,
                                 std::map<std::string, std::vector<std::string>>& out,
                                 std::set<std::string>& functions) {
  std::set<std::string> seen;
  auto enter_function = [&](const std::string& name) {
    auto f = functions_.find(name);
    if (f == functions_.end() || !functions.insert(name).second) return;
    std::vector<std::string> wanted;
    for (const auto& [output, endpoint] : f->second->ret) wanted.push_back(parse_endpoint(endpoint).node);
    Body& inner = this->body(f->second);
    Enter enter(*this, inner, nullptr);
    for (const auto& [output, node] : f->second->control_ret)
      if (matters(node)) wanted.push_back(node);
    collect_unsupported(inner, wanted, out, functions);
  };
  while (!open.empty()) {
    std::string name = open.back();
    open.pop_back();
    if (!seen.insert(name).second) continue;
    auto it = body.nodes.find(name);
    if (it == body.nodes.end()) continue;
    const NodeDef& node = *it->second;
    bool known = registry().tf_ops.find(node.op) || functions_.count(node.op) || is_control(node);
    if (!known && !(!body.function && (variable_of_node_.count(name) || top_.lowered.count(name))))
      out[node.op].push_back(node.name);
    if (functions_.count(node.op)) enter_function(node.op);
    for (const auto& [attr, value] : node.attrs)
      if (value.kind() == AttrValue::Kind::Func) enter_function(value.func().name);
    for (const std::string& text : node.inputs) {
      Endpoint e = parse_endpoint(text);
      if (!body.function && top_.lowered.count(e.node)) continue;  // fed
      if (!e.control) open.push_back(e.node);
    }
  }
}

std::map<std::string, std::vector<std::string>> Driver::unsupported(const std::vector<std::string>& tensors) {
  std::map<std::string, std::vector<std::string>> out;
  std::vector<std::string> open;
  for (const std::string& t : tensors) open.push_back(parse_endpoint(t).node);
  std::set<std::string> functions;
  collect_unsupported(body(nullptr), open, out, functions);
  return out;
}

std::map<std::string, std::vector<std::string>> Driver::unsupported_function(const std::string& name) {
  std::map<std::string, std::vector<std::string>> out;
  const FunctionDef& f = function(name);
  std::vector<std::string> open;
  for (const auto& [output, endpoint] : f.ret) open.push_back(parse_endpoint(endpoint).node);
  std::set<std::string> functions{name};
  collect_unsupported(body(&f), open, out, functions);
  return out;
}

}  // namespace midstream::tensorflow
