#include "emit/structure.h"

#include <algorithm>

namespace midstream::emit {

BodyIndex::BodyIndex(const Program& program, const std::vector<Step>& body, const std::vector<Value>& outputs) {
  for (size_t i = 0; i < body.size(); ++i) {
    for (const Value v : body[i].outputs) defined[v.id] = i;
    for_each_use(body[i], [&](Value v) {
      uses[v.id].push_back(i);
      if (const Leaf* leaf = program.leaf(v)) read[leaf->module].push_back(i);
    });
    const auto note = [&](const Step& s) {
      if (s.module >= 0) called[s.module].push_back(i);
    };
    note(body[i]);
    for (const auto& inner : body[i].bodies) for_each_step(inner, note);
  }
  for (const Value v : outputs) uses[v.id].push_back(body.size());
}

namespace {

// Host numbers are written where they are used.
bool is_number(const Program& program, Value v) {
  const ValueInfo& info = program.graph->info(v);
  return info.leaf == LeafKind::Constant && info.type.kind != Kind::Tensor;
}

template <class T>
void add_once(std::vector<T>& list, const T& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

bool all_within(const std::map<int, std::vector<size_t>>& places, int module, const std::set<size_t>& inside) {
  const auto it = places.find(module);
  return it == places.end() ||
         std::all_of(it->second.begin(), it->second.end(), [&](size_t i) { return inside.contains(i); });
}

}  // namespace

Window window(const Program& program, const std::vector<Step>& body, const BodyIndex& index,
              const std::vector<size_t>& steps) {
  Window w;
  const std::set<size_t> inside(steps.begin(), steps.end());
  std::set<int> called;
  for (const size_t i : steps) {
    const auto note = [&](const Step& s) {
      if (s.module >= 0) called.insert(s.module);
    };
    note(body[i]);
    for (const auto& inner : body[i].bodies) for_each_step(inner, note);
  }
  for (const size_t i : steps) {
    for_each_use(body[i], [&](Value v) {
      if (program.graph->info(v).leaf == LeafKind::Training || is_number(program, v)) return;
      const auto def = index.defined.find(v.id);
      if (def != index.defined.end() && inside.contains(def->second)) return;
      if (const Leaf* leaf = program.leaf(v)) {
        const bool owned =
            called.contains(leaf->module) || (program.modules[static_cast<size_t>(leaf->module)].is_tensor() &&
                                              all_within(index.read, leaf->module, inside));
        if (owned) return add_once(w.modules, leaf->module);
      }
      add_once(w.inputs, v);
    });
    const auto note = [&](const Step& s) {
      if (s.module < 0) return;
      add_once(w.modules, s.module);
      if (!all_within(index.called, s.module, inside)) w.shares = true;
    };
    note(body[i]);
    for (const auto& inner : body[i].bodies) for_each_step(inner, note);
    for (const Value v : body[i].outputs) {
      const auto uses = index.uses.find(v.id);
      if (uses == index.uses.end()) continue;
      if (std::any_of(uses->second.begin(), uses->second.end(), [&](size_t u) { return !inside.contains(u); }))
        w.outputs.push_back(v);
    }
  }
  return w;
}

namespace {

// Walks two pieces of code side by side.
class Comparison {
 public:
  Comparison(const Program& program) : p_(program) {}

  bool steps(const std::vector<const Step*>& a, const std::vector<const Step*>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
      if (!step(*a[i], *b[i])) return false;
    return true;
  }
  Value partner(Value a) const {
    const auto it = forth_.find(a.id);
    return it == forth_.end() ? Value{} : it->second;
  }

 private:
  bool value(Value a, Value b) {
    const bool training = p_.graph->info(a).leaf == LeafKind::Training;
    if (training != (p_.graph->info(b).leaf == LeafKind::Training)) return false;
    if (training) return true;
    if (is_number(p_, a) || is_number(p_, b))
      return is_number(p_, a) && is_number(p_, b) && same_constant(p_.graph->info(a).index, p_.graph->info(b).index);
    const auto it = forth_.find(a.id);
    if (it != forth_.end()) return it->second == b;
    if (back_.contains(b.id)) return false;
    if (p_.graph->type(a).kind != p_.graph->type(b).kind) return false;
    const Leaf *la = p_.leaf(a), *lb = p_.leaf(b);
    if ((la == nullptr) != (lb == nullptr)) return false;
    if (la && (la->key != lb->key || !module(la->module, lb->module))) return false;
    forth_[a.id] = b;
    back_[b.id] = a;
    return true;
  }
  bool values(const std::vector<Value>& a, const std::vector<Value>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
      if (!value(a[i], b[i])) return false;
    return true;
  }
  bool expr(const Expr& a, const Expr& b) {
    if (a.pieces.size() != b.pieces.size()) return false;
    for (size_t i = 0; i < a.pieces.size(); ++i) {
      const Piece &x = a.pieces[i], &y = b.pieces[i];
      if (x.kind != y.kind || x.text != y.text || x.spliced != y.spliced) return false;
      if (x.kind == Piece::Kind::Literal && x.literal.index() != y.literal.index()) return false;
      if (x.kind == Piece::Kind::Operand && !value(x.value, y.value)) return false;
    }
    return true;
  }
  bool module(int a, int b) {
    if (a < 0 || b < 0) return a == b;
    const auto it = modules_.find(a);
    if (it != modules_.end()) return it->second == b;
    if (module_back_.contains(b)) return false;
    const Module &x = p_.modules[static_cast<size_t>(a)], &y = p_.modules[static_cast<size_t>(b)];
    if (x.type != y.type || x.cls != y.cls || x.frozen != y.frozen || x.tensors.size() != y.tensors.size() ||
        x.args.size() != y.args.size() || (x.is_sequential() && x.children.size() != y.children.size()))
      return false;
    for (size_t i = 0; i < x.tensors.size(); ++i) {
      if (x.tensors[i].key != y.tensors[i].key || x.tensors[i].buffer != y.tensors[i].buffer) return false;
      if (!same_constant(x.tensors[i].constant, y.tensors[i].constant)) return false;
    }
    for (size_t i = 0; i < x.args.size(); ++i)
      if (x.args[i].name != y.args[i].name || x.args[i].text != y.args[i].text) return false;
    modules_[a] = b;
    module_back_.insert(b);
    if (x.is_sequential())
      for (size_t i = 0; i < x.children.size(); ++i)
        if (!module(x.children[i], y.children[i])) return false;
    return true;
  }
  bool same_constant(int a, int b) const {
    if (a < 0 || b < 0) return a == b;
    const Array &x = p_.graph->constants[static_cast<size_t>(a)], &y = p_.graph->constants[static_cast<size_t>(b)];
    return x.dtype() == y.dtype() && x.shape() == y.shape() && std::equal(x.bytes(), x.bytes() + x.nbytes(), y.bytes());
  }
  bool step(const Step& a, const Step& b) {
    if (a.kind != b.kind || a.outputs.size() != b.outputs.size() || a.result != b.result ||
        a.bodies.size() != b.bodies.size() || a.expr.precedence != b.expr.precedence)
      return false;
    if (!expr(a.expr, b.expr) || !module(a.module, b.module) || !values(a.init, b.init)) return false;
    for (const auto& [x, y] : {std::pair{a.condition, b.condition}, {a.target, b.target}, {a.source, b.source}}) {
      if (static_cast<bool>(x) != static_cast<bool>(y)) return false;
      if (x && !value(x, y)) return false;
    }
    for (size_t i = 0; i < a.bodies.size(); ++i) {
      if (a.bodies[i].size() != b.bodies[i].size()) return false;
      if (i < a.block_args.size() && !values(a.block_args[i], b.block_args[i])) return false;
      for (size_t k = 0; k < a.bodies[i].size(); ++k)
        if (!step(a.bodies[i][k], b.bodies[i][k])) return false;
      if (!values(a.results[i], b.results[i])) return false;
    }
    return values(a.outputs, b.outputs);
  }

  const Program& p_;
  std::unordered_map<int32_t, Value> forth_, back_;
  std::map<int, int> modules_;
  std::set<int> module_back_;
};

}  // namespace

std::optional<Match> same_code(const Program& program, const std::vector<const Step*>& a, const Window& wa,
                               const std::vector<const Step*>& b, const Window& wb) {
  if (wa.inputs.size() != wb.inputs.size() || wa.outputs.size() != wb.outputs.size() ||
      wa.modules.size() != wb.modules.size())
    return std::nullopt;
  Comparison comparison(program);
  if (!comparison.steps(a, b)) return std::nullopt;
  Match match{};
  const auto partners = [&](const std::vector<Value>& of, const std::vector<Value>& among, std::vector<Value>& out) {
    for (const Value v : of) {
      out.push_back(comparison.partner(v));
      if (std::find(among.begin(), among.end(), out.back()) == among.end()) return false;
    }
    return true;
  };
  if (!partners(wa.inputs, wb.inputs, match.inputs) || !partners(wa.outputs, wb.outputs, match.outputs))
    return std::nullopt;
  return match;
}

std::string signature(const Program& program, const Step& step) {
  std::string out = std::to_string(static_cast<int>(step.kind)) + ":";
  if (step.module >= 0) {
    const Module& m = program.modules[static_cast<size_t>(step.module)];
    out += m.type + "#" + std::to_string(m.cls);
    for (const CtorArg& a : m.args) out += "," + a.name + a.text;
    for (const ModuleTensor& t : m.tensors) out += ";" + t.key;
    for (const int child : m.children)
      if (m.is_sequential())
        out += "/" + program.modules[static_cast<size_t>(child)].type +
               std::to_string(program.modules[static_cast<size_t>(child)].cls);
  }
  for (const Piece& p : step.expr.pieces) {
    if (p.kind == Piece::Kind::Text)
      out += p.text;
    else if (p.kind == Piece::Kind::Operand)
      out += "$";
    else
      out += "#" + std::to_string(p.literal.index());
  }
  for (const auto& body : step.bodies) {
    out += "{";
    for (const Step& inner : body) out += signature(program, inner) + ";";
    out += "}";
  }
  return out + ">" + std::to_string(step.outputs.size());
}

namespace {

std::vector<const Step*> pointers(const std::vector<Step>& steps) {
  std::vector<const Step*> out;
  for (const Step& s : steps) out.push_back(&s);
  return out;
}

Step call_of(int module, const std::vector<Step>& steps, const Match& match) {
  Step call;
  call.kind = Step::Kind::Module;
  call.module = module;
  call.outputs = match.outputs;
  call.path = steps.front().path;
  for (const Step& s : steps) call.effects = call.effects || s.effects;
  for (size_t i = 0; i < match.inputs.size(); ++i) {
    if (i) call.expr.text(", ");
    call.expr.operand(match.inputs[i]);
  }
  return call;
}

}  // namespace

Step make_instance(Program& program, std::vector<Step> steps, const Window& window, const Class& fresh) {
  const std::vector<const Step*> code = pointers(steps);
  int cls = -1;
  Match match{window.inputs, window.outputs};
  for (size_t c = 0; c < program.classes.size() && cls < 0; ++c) {
    const Module& first = program.modules[static_cast<size_t>(program.classes[c].instances.at(0))];
    if (first.body.size() != steps.size()) continue;
    const Window of_first{
        .inputs = first.inputs, .outputs = first.outputs, .modules = attributes_of(program, first.body, first.inputs)};
    if (auto found = same_code(program, pointers(first.body), of_first, code, window)) {
      cls = static_cast<int>(c);
      match = *found;
      // The same parts: the same module, called again.
      for (const int instance : program.classes[c].instances) {
        const Module& m = program.modules[static_cast<size_t>(instance)];
        if (!window.modules.empty() &&
            attributes_of(program, m.body, m.inputs) == attributes_of(program, steps, match.inputs))
          return call_of(instance, steps, match);
      }
    }
  }
  if (cls < 0) {
    cls = static_cast<int>(program.classes.size());
    program.classes.push_back(fresh);
  }
  const int id = static_cast<int>(program.modules.size());
  Step call = call_of(id, steps, match);
  Module instance;
  instance.cls = cls;
  instance.path = fresh.path;
  instance.heavy = true;
  instance.inputs = match.inputs;
  instance.outputs = match.outputs;
  instance.children = attributes_of(program, steps, match.inputs);
  instance.body = std::move(steps);
  program.modules.push_back(std::move(instance));
  program.classes[static_cast<size_t>(cls)].instances.push_back(id);
  return call;
}

namespace {

// The values that a step uses, without those that only steps inside of it use.
std::vector<Value> own_values(const Step& step) {
  Step shallow;
  shallow.kind = step.kind;
  shallow.expr = step.expr;
  shallow.init = step.init;
  shallow.target = step.target;
  shallow.source = step.source;
  std::vector<Value> out;
  for_each_use(shallow, [&](Value v) { out.push_back(v); });
  for (const auto& results : step.results) out.insert(out.end(), results.begin(), results.end());
  return out;
}

}  // namespace

std::vector<int> attributes_of(const Program& program, const std::vector<Step>& body,
                               const std::vector<Value>& inputs) {
  std::vector<int> out;
  const auto nested = [&](int module) {  // inside of a child, then it is no attribute itself
    std::vector<int> stack(out);
    while (!stack.empty()) {
      const Module& m = program.modules[static_cast<size_t>(stack.back())];
      stack.pop_back();
      for (const int child : m.children) {
        if (child == module) return true;
        stack.push_back(child);
      }
    }
    return false;
  };
  std::vector<int> read;
  for_each_step(body, [&](const Step& step) {
    if (step.module >= 0) add_once(out, step.module);
    for (const Value v : own_values(step))
      if (const Leaf* leaf = program.leaf(v); leaf && std::find(inputs.begin(), inputs.end(), v) == inputs.end()) {
        if (program.modules[static_cast<size_t>(leaf->module)].is_tensor())
          add_once(out, leaf->module);
        else
          add_once(read, leaf->module);
      }
  });
  for (const int module : read)
    if (!nested(module)) add_once(out, module);
  return out;
}

std::vector<Slot> slots(Program& program, int id) {
  Module& m = program.modules[static_cast<size_t>(id)];
  std::vector<Slot> out;
  std::set<int> seen;
  const std::function<void(int)> module_slots = [&](int child) {
    if (!seen.insert(child).second) return;
    Module& c = program.modules[static_cast<size_t>(child)];
    for (CtorArg& a : c.args)
      if (a.text.empty()) out.push_back({.arg = &a, .owner = child, .name = a.name, .value = a.literal});
    if (c.is_sequential())
      for (const int part : c.children) module_slots(part);
    if (c.cls >= 0) {
      const std::vector<Slot> inner = slots(program, child);
      for (size_t i = 0; i < inner.size(); ++i)
        out.push_back({.module = child, .slot = i, .owner = child, .name = inner[i].name, .value = inner[i].value});
    }
  };
  for_each_step(m.body, [&](Step& step) {
    if (step.module >= 0) module_slots(step.module);
    for (Piece& p : step.expr.pieces)
      if (p.kind == Piece::Kind::Literal) out.push_back({.piece = &p, .name = p.text, .value = p.literal});
    for (const Value v : own_values(step)) {
      const Leaf* leaf = program.leaf(v);
      if (leaf && program.modules[static_cast<size_t>(leaf->module)].is_tensor() &&
          std::find(m.inputs.begin(), m.inputs.end(), v) == m.inputs.end())
        module_slots(leaf->module);
    }
  });
  return out;
}

}  // namespace midstream::emit
