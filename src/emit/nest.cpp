// A scope that the source names (a nested model) is a class, and so is a layer that holds several modules
// (attention) or that computes with weights of its own (a cell without kernel). Layers of one module stay lines of the
// class around them. A group that would need its own result as input, or whose modules others call, is left alone.
#include "emit/nest.h"

#include <algorithm>

namespace midstream::emit {
namespace {

bool is_under(const std::string& path, const std::string& scope) {
  return path.size() > scope.size() && path[scope.size()] == '/' && path.starts_with(scope);
}

// Steps and groups of steps, ordered by what they need.
class Order {
 public:
  // group[i] < 0: step i stands alone.
  Order(const std::vector<Step>& steps, const std::vector<int>& group, const std::vector<Value>& outputs)
      : steps_(steps), group_(group) {
    for (size_t i = 0; i < steps.size(); ++i) {
      members_[key(i)].push_back(i);
      for (const Value v : steps[i].outputs) defined_[v.id] = i;
    }
    for (const Value v : outputs) need(v);
    for (size_t i = 0; i < steps.size(); ++i)
      if (steps[i].effects) visit(key(i));
  }
  // The members of each, in order; `cyclic` is a group that needs itself, or -1.
  std::vector<std::vector<size_t>> order;
  int cyclic = -1;

 private:
  // Groups come after the steps that stand alone.
  size_t key(size_t i) const { return group_[i] < 0 ? i : steps_.size() + static_cast<size_t>(group_[i]); }
  void need(Value v) {
    if (const auto it = defined_.find(v.id); it != defined_.end()) visit(key(it->second));
  }
  void visit(size_t k) {
    if (done_.contains(k)) return;
    if (!open_.insert(k).second) {
      if (k >= steps_.size())
        cyclic = static_cast<int>(k - steps_.size());
      else
        for (const size_t o : open_)
          if (o >= steps_.size()) cyclic = static_cast<int>(o - steps_.size());
      return;
    }
    for (const size_t i : members_[k])
      for_each_use(steps_[i], [&](Value v) {
        const auto it = defined_.find(v.id);
        if (it != defined_.end() && key(it->second) != k) need(v);
      });
    open_.erase(k);
    done_.insert(k);
    order.push_back(members_[k]);
  }

  const std::vector<Step>& steps_;
  const std::vector<int>& group_;
  std::map<size_t, std::vector<size_t>> members_;
  std::unordered_map<int32_t, size_t> defined_;
  std::set<size_t> open_, done_;
};

size_t count_steps(const std::vector<const Step*>& steps) {
  size_t n = 0;
  for (const Step* s : steps) {
    ++n;
    for (const auto& body : s->bodies) for_each_step(body, [&](const Step&) { ++n; });
  }
  return n;
}

class Nester {
 public:
  explicit Nester(Program& program) : p_(program) {
    for (const Scope& s : program.graph->scopes)
      if (!s.path.empty()) scopes_.push_back(s);
  }

  // The body of something at `path` ("" is the model), its groups replaced by calls.
  std::vector<Step> nested(std::vector<Step> steps, const std::string& path, const std::vector<Value>& outputs);

 private:
  struct Group {
    std::string path;
    bool scope = false;
    std::vector<size_t> steps;
  };
  std::string group_path(const std::string& step_path, const std::string& path, bool* scope) const;
  std::vector<Group> groups(const std::vector<Step>& steps, const std::string& path) const;
  bool worthwhile(const Group& group, const std::vector<Step>& steps) const;
  std::vector<Group> calls(Group group, const std::vector<Step>& steps) const;
  Class fresh(const Group& group, const std::vector<Step>& steps) const;

  Program& p_;
  std::vector<Scope> scopes_;
};

// The outermost group inside `path` that a step belongs to; empty: none. A scope, or else the layer: the path's first
// part that is no scope.
std::string Nester::group_path(const std::string& step_path, const std::string& path, bool* scope) const {
  *scope = false;
  const std::string* best = nullptr;
  for (const Scope& s : scopes_)
    if (is_under(step_path, s.path) && s.path != path && (path.empty() || is_under(s.path, path)))
      if (!best || s.path.size() < best->size()) best = &s.path;
  if (best) {
    *scope = true;
    return *best;
  }
  if (!path.empty() && !is_under(step_path, path)) return {};
  const size_t from = path.empty() ? 0 : path.size() + 1;
  return step_path.substr(0, step_path.find('/', from));
}

std::vector<Nester::Group> Nester::groups(const std::vector<Step>& steps, const std::string& path) const {
  std::vector<Group> runs;
  for (size_t i = 0; i < steps.size(); ++i) {
    bool scope = false;
    const std::string g = group_path(steps[i].path, path, &scope);
    if (g.empty()) continue;
    if (runs.empty() || runs.back().path != g || runs.back().steps.back() + 1 != i) runs.push_back({g, scope, {}});
    runs.back().steps.push_back(i);
  }
  std::vector<Group> out;
  for (Group& run : runs)
    for (Group& call : calls(std::move(run), steps))
      if (worthwhile(call, steps)) out.push_back(std::move(call));
  return out;
}

// A run of steps of one layer is several calls of it if it repeats itself, modules included.
std::vector<Nester::Group> Nester::calls(Group run, const std::vector<Step>& steps) const {
  const size_t n = run.steps.size();
  const auto same = [&](size_t i, size_t j) {
    const Step &a = steps[run.steps[i]], &b = steps[run.steps[j]];
    return a.module == b.module && a.path == b.path && signature(p_, a) == signature(p_, b);
  };
  bool modules = false;
  for (const size_t i : run.steps) modules = modules || steps[i].module >= 0;
  for (size_t period = 1; modules && period <= n / 2; ++period) {
    if (n % period != 0) continue;
    bool repeats = true;
    for (size_t i = 0; i + period < n && repeats; ++i) repeats = same(i, i + period);
    if (!repeats) continue;
    std::vector<Group> out;
    for (size_t i = 0; i < n; i += period)
      out.push_back(
          {run.path,
           run.scope,
           {run.steps.begin() + static_cast<ptrdiff_t>(i), run.steps.begin() + static_cast<ptrdiff_t>(i + period)}});
    return out;
  }
  return {run};
}

bool Nester::worthwhile(const Group& group, const std::vector<Step>& steps) const {
  std::set<int> modules, tensors;
  std::vector<const Step*> members;
  for (const size_t i : group.steps) {
    members.push_back(&steps[i]);
    for_each_use(steps[i], [&](Value v) {
      if (const Leaf* leaf = p_.leaf(v); leaf && p_.modules[static_cast<size_t>(leaf->module)].is_tensor())
        tensors.insert(leaf->module);
    });
    if (steps[i].module >= 0 && !p_.modules[static_cast<size_t>(steps[i].module)].tensors.empty())
      modules.insert(steps[i].module);
    if (steps[i].module >= 0 && p_.modules[static_cast<size_t>(steps[i].module)].cls >= 0)
      modules.insert(steps[i].module);
  }
  if (group.scope) return group.steps.size() > 1;
  return modules.size() >= 2 || (!tensors.empty() && count_steps(members) >= 8);
}

std::string after(const std::string& text, char separator) { return text.substr(text.rfind(separator) + 1); }

Class Nester::fresh(const Group& group, const std::vector<Step>& steps) const {
  Class cls;
  cls.path = group.path;
  cls.kind = group.scope ? "scope" : "layer";
  for (const Scope& s : scopes_)
    if (s.path == group.path) cls.op = s.op;
  for (const size_t i : group.steps)
    if (!group.scope && steps[i].path == group.path && cls.op.empty()) cls.op = steps[i].op;
  cls.name = group.scope || cls.op.empty() ? after(group.path, '/') : after(cls.op, '.');
  return cls;
}

std::vector<Step> Nester::nested(std::vector<Step> steps, const std::string& path, const std::vector<Value>& outputs) {
  std::vector<Group> found = groups(steps, path);
  std::vector<int> group(steps.size(), -1);
  for (size_t g = 0; g < found.size(); ++g)
    for (const size_t i : found[g].steps) group[i] = static_cast<int>(g);
  // Groups that need themselves, or that share modules with others, are dissolved.
  const BodyIndex index(p_, steps, outputs);
  const auto dissolve = [&](int g) {
    for (int& of : group)
      if (of == g) of = -1;
  };
  for (size_t g = 0; g < found.size(); ++g) {
    std::set<size_t> family;
    for (const Group& other : found)
      if (other.path == found[g].path) family.insert(other.steps.begin(), other.steps.end());
    for (const int m : window(p_, steps, index, found[g].steps).modules)
      if (const auto it = index.called.find(m); it != index.called.end())
        for (const size_t i : it->second)
          if (!family.contains(i)) dissolve(static_cast<int>(g));
  }
  std::optional<Order> order;
  for (order.emplace(steps, group, outputs); order->cyclic >= 0; order.emplace(steps, group, outputs))
    dissolve(order->cyclic);
  std::vector<Step> out;
  for (const std::vector<size_t>& members : order->order) {
    const int g = group[members[0]];
    if (g < 0) {
      out.push_back(std::move(steps[members[0]]));
      continue;
    }
    const Window w = window(p_, steps, index, members);
    const Class cls = fresh(found[static_cast<size_t>(g)], steps);
    std::vector<Step> inner;
    for (const size_t i : members) inner.push_back(std::move(steps[i]));
    inner = nested(std::move(inner), cls.path, w.outputs);
    out.push_back(make_instance(p_, std::move(inner), w, cls));
    out.back().op = cls.op;
    out.back().path = cls.path;
  }
  return out;
}

}  // namespace

std::vector<Step> scheduled(std::vector<Step> steps, const std::vector<Value>& outputs) {
  const std::vector<int> alone(steps.size(), -1);
  const Order order(steps, alone, outputs);
  std::vector<Step> out;
  for (const auto& members : order.order) out.push_back(std::move(steps[members[0]]));
  return out;
}

void nest(Program& program) {
  Module& model = program.modules[static_cast<size_t>(program.model)];
  std::vector<Step> steps = std::move(model.body);
  // Twice: first to drop what nobody needs, so that it does not hold groups together.
  std::vector<Step> needed;
  {
    std::set<int32_t> wanted;
    for (const Value v : model.outputs) wanted.insert(v.id);
    std::vector<bool> keep(steps.size());
    for (size_t i = steps.size(); i-- > 0;) {
      keep[i] = steps[i].effects || std::any_of(steps[i].outputs.begin(), steps[i].outputs.end(),
                                                [&](Value v) { return wanted.contains(v.id); });
      if (keep[i]) for_each_use(steps[i], [&](Value v) { wanted.insert(v.id); });
    }
    for (size_t i = 0; i < steps.size(); ++i)
      if (keep[i]) needed.push_back(std::move(steps[i]));
  }
  model.body = Nester(program).nested(std::move(needed), "", model.outputs);
  model.children = attributes_of(program, model.body, model.inputs);
  model.cls = static_cast<int>(program.classes.size());
  Class& cls = program.classes.emplace_back();
  cls.kind = "model";
  cls.instances = {program.model};
}

}  // namespace midstream::emit
