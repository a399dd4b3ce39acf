// Steps become statements: what is used once and short is printed where it is used, at most one weighty call a line.
// Names follow the data: a result takes over the name of the value that it uses up ("x"), what lives long is called by
// its layer.
#include "emit/body.h"

#include <algorithm>

#include "emit/names.h"
#include "emit/render.h"

namespace midstream::emit {
namespace {

constexpr size_t kInline = 84;    // an expression of this length at most
constexpr size_t kLongLived = 3;  // statements

struct Uses {
  std::map<int32_t, size_t> count, last;  // of a value: how often, and the last statement (steps.size(): the results)
  std::set<int32_t> own;                  // values of this body; those from around it live on
  std::vector<size_t> statement;          // step -> how many statements stand before it
};

class BodyPrinter {
 public:
  BodyPrinter(const Program& program, Renderer& renderer, bool comments)
      : p_(program), r_(renderer), comments_(comments) {}

  void forward(const std::vector<Step>& steps, const std::vector<Value>& outputs, size_t indent) {
    Uses uses = count(steps, outputs);
    for (const auto& [name, id] : live) uses.own.insert(id);
    decide(steps, uses, outputs, true);
    statements(steps, uses, indent);
    std::string text;
    for (const Value v : outputs)
      text += (text.empty() ? "" : ", ") + r_.value(v, outputs.size() > 1 ? kConditional : kLoosest);
    put("return " + text, indent);
  }
  std::vector<std::string> lines;
  std::map<std::string, int32_t> live;          // name -> value
  std::map<int32_t, std::string> output_names;  // of the model: their names
  bool by_parts = false;                        // a layer: its parts give names

 private:
  Uses count(const std::vector<Step>& steps, const std::vector<Value>& results) const;
  void find_last(const std::vector<Step>& steps, Uses& uses, const std::vector<Value>& results) const;
  void decide(const std::vector<Step>& steps, Uses& uses, const std::vector<Value>& results, bool returns);
  void statements(const std::vector<Step>& steps, const Uses& uses, size_t indent);
  void plain(const Step& step, size_t i, const Uses& uses, size_t indent);
  void if_region(const Step& step, size_t i, const Uses& uses, size_t indent);
  void while_region(const Step& step, size_t i, const Uses& uses, size_t indent);
  void inner(const std::vector<Step>& steps, const std::vector<Value>& results, const std::vector<std::string>& into,
             size_t indent);
  void assigns(const std::vector<Step>& steps, size_t from, size_t to, size_t indent);

  std::vector<Value> read_by(const Step& step) const;
  int heavy(const Step& step) const;
  std::vector<std::string> free_dying(const Step& step, size_t i, const Uses& uses);
  std::string name_for(Value v, const Step& step, size_t i, const Uses& uses, const std::vector<std::string>& dying);
  void put(const std::string& statement, size_t indent) {
    for (std::string& line : broken(statement, indent)) lines.push_back(std::move(line));
  }
  std::string source_name(const Step& step) const;
  void comment_shape(Value v);
  const ValueInfo& info(Value v) const { return p_.graph->info(v); }

  const Program& p_;
  Renderer& r_;
  bool comments_;
};

Uses BodyPrinter::count(const std::vector<Step>& steps, const std::vector<Value>& results) const {
  Uses uses;
  for (const Step& step : steps) {
    // Inside of a region a value may be used more than once.
    for_each_use(step, [&](Value v) { uses.count[v.id] += step.bodies.empty() || v == step.condition ? 1 : 2; });
    for (const Value v : step.outputs) uses.own.insert(v.id);
  }
  for (const Value v : results) ++uses.count[v.id];
  return uses;
}

// A step that is inlined reads its operands where it is printed.
void BodyPrinter::find_last(const std::vector<Step>& steps, Uses& uses, const std::vector<Value>& results) const {
  const auto read = [&](const auto& self, Value v, size_t at) -> void {
    if (const auto it = r_.inlined.find(v.id); it != r_.inlined.end())
      for_each_use(*it->second, [&](Value inner) { self(self, inner, at); });
    else
      uses.last[v.id] = at;
  };
  size_t printed = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool inlined = std::any_of(steps[i].outputs.begin(), steps[i].outputs.end(),
                                     [&](Value v) { return r_.inlined.contains(v.id); });
    uses.statement.push_back(printed);
    printed += !inlined;
    if (!inlined) for_each_use(steps[i], [&](Value v) { read(read, v, i); });
  }
  uses.statement.push_back(printed);
  for (const Value v : results) read(read, v, steps.size());
}

// Weighty calls in a statement with everything that is inlined into it.
int BodyPrinter::heavy(const Step& step) const {
  int n = step.module >= 0 && p_.modules[static_cast<size_t>(step.module)].heavy;
  if (!step.bodies.empty()) return n;
  for_each_use(step, [&](Value v) {
    if (const auto it = r_.inlined.find(v.id); it != r_.inlined.end()) n += heavy(*it->second);
  });
  return n;
}

void BodyPrinter::decide(const std::vector<Step>& steps, Uses& uses, const std::vector<Value>& results, bool returns) {
  std::unordered_map<int32_t, const Step*> candidates;
  std::set<int32_t> chosen;
  const auto consider = [&](const std::vector<Value>& operands, const std::function<int()>& weight,
                            const std::function<size_t()>& length, bool last) {
    int weighty = 0;
    for (const Value v : operands)
      if (const auto it = candidates.find(v.id); it != candidates.end()) weighty += heavy(*it->second) > 0;
    for (const Value v : operands) {
      const auto it = candidates.find(v.id);
      if (it == candidates.end() || r_.inlined.contains(v.id)) continue;
      const int h = heavy(*it->second);
      if (h > 0 && weighty > 1) continue;
      r_.inlined[v.id] = it->second;
      if (weight() > 1 || (length() > kInline && !(last && operands.size() == 1 && length() <= kWidth - 20)))
        r_.inlined.erase(v.id);
    }
  };
  for (const Step& step : steps) {
    std::vector<Value> operands;
    if (step.bodies.empty())
      for_each_use(step, [&](Value v) { operands.push_back(v); });
    else if (step.kind == Step::Kind::If)
      operands = {step.condition};
    if (step.kind == Step::Kind::Assign) {
      consider({step.source}, [&] { return heavy(step); }, [&] { return r_.value(step.source).size(); }, false);
    } else {
      const auto length = [&] {
        return step.kind == Step::Kind::If ? r_.value(step.condition).size() : r_.step(step).size();
      };
      consider(operands, [&] { return step.kind == Step::Kind::If ? 0 : heavy(step); }, length, false);
    }
    if (step.effects || (step.kind != Step::Kind::Expr && step.kind != Step::Kind::Module)) continue;
    size_t used = 0;
    Value one;
    for (const Value v : step.outputs)
      if (uses.count.contains(v.id)) {
        ++used;
        one = v;
      }
    if (used == 1 && uses.count.at(one.id) == 1) candidates[one.id] = &step;
  }
  const auto weight = [&] {
    int n = 0;
    for (const Value v : results)
      if (const auto it = r_.inlined.find(v.id); it != r_.inlined.end()) n += heavy(*it->second);
    return n;
  };
  const auto length = [&] {
    size_t n = 0;
    for (const Value v : results) n += r_.value(v).size() + 2;
    return n;
  };
  consider(results, weight, length, returns);
  find_last(steps, uses, results);
}

// Values with names that the statement reads, also through what is inlined into it.
std::vector<Value> BodyPrinter::read_by(const Step& step) const {
  std::vector<Value> out;
  for_each_use(step, [&](Value v) {
    if (const auto it = r_.inlined.find(v.id); it != r_.inlined.end()) {
      for (const Value inner : read_by(*it->second)) out.push_back(inner);
    } else {
      out.push_back(v);
    }
  });
  return out;
}

bool is_generic(const std::string& name) {
  return name == "x" || name == "y" || name == "z" || name == "u" || name == "v" || name == "w" || name == "h" ||
         name == "n" || name == "mask";
}

// Takes the names of values whose last reader this is out of `live`; those that a result may take over are returned.
std::vector<std::string> BodyPrinter::free_dying(const Step& step, size_t i, const Uses& uses) {
  std::vector<std::string> out;
  for (const Value v : read_by(step)) {
    const auto name = r_.names.find(v.id);
    const auto last = uses.last.find(v.id);
    if (name == r_.names.end() || !uses.own.contains(v.id) || last == uses.last.end() || last->second > i) continue;
    const auto at = live.find(name->second);
    if (at == live.end() || at->second != v.id) continue;
    live.erase(at);
    out.push_back(name->second);
  }
  return out;
}

std::string size_name(const Program& p, const Step& step) {
  const auto& pieces = step.expr.pieces;
  if (pieces.size() != 4 || pieces[1].text != ".shape[" || pieces[0].kind != Piece::Kind::Operand) return "n";
  const auto* dim = std::get_if<int64_t>(&pieces[2].literal);
  const size_t rank = p.graph->type(pieces[0].value).dims.size();
  if (!dim) return "n";
  if (*dim == 0) return "batch";
  if (rank == 3) return *dim == 1 ? "length" : "features";
  if (rank == 4 && *dim > 1) return *dim == 2 ? "height" : "width";
  return "size";
}

std::string BodyPrinter::name_for(Value v, const Step& step, size_t i, const Uses& uses,
                                  const std::vector<std::string>& dying) {
  const Type& type = p_.graph->type(v);
  // A local name that is also a helper's would hide the helper in the whole method.
  const auto free = [&](const std::string& name) { return !live.contains(name) && !p_.helpers.contains(name); };
  const auto numbered = [&](const std::string& name) {
    std::string out = name;
    for (int k = 2; !free(out); ++k) out = name + "_" + std::to_string(k);
    return out;
  };
  if (type.kind == Kind::Int) return numbered(size_name(p_, step));
  if (type.kind == Kind::Bool) return numbered("flag");
  if (type.kind == Kind::List) return numbered("items");
  if (type.dtype == DType::Bool) return numbered("mask");
  if (const auto it = output_names.find(v.id); it != output_names.end()) return numbered(it->second);
  // What lives long is called by its module.
  const std::string source = source_name(step);
  const auto last = uses.last.find(v.id);
  const size_t distance =
      last != uses.last.end() && i < uses.statement.size() ? uses.statement[last->second] - uses.statement[i] : 0;
  if (!source.empty() && source.size() < 32 && distance > (comments_ ? 1 : kLongLived) && uses.count.at(v.id) > 1)
    return numbered(source);
  for (const std::string& name : dying)
    if (is_generic(name) && name != "n" && name != "mask" && free(name)) return name;
  // The parts of a layer are called by their own names ("query"), where those are words.
  const bool word = std::all_of(source.begin(), source.end(), [](unsigned char c) { return isalpha(c); });
  if (!source.empty() && by_parts && word && source.size() < 12) return numbered(source);
  for (const char* name : {"x", "y", "z", "u", "v", "w", "h", "a", "b", "c", "d"})
    if (free(name)) return name;
  return numbered("x");
}

// What the module is called that a statement is about.
std::string BodyPrinter::source_name(const Step& step) const {
  if (step.module >= 0) {
    const std::string access = r_.access(step.module);
    return access.ends_with("]") ? std::string() : access.substr(access.rfind('.') + 1);
  }
  std::string found;
  if (!step.bodies.empty()) return found;
  for_each_use(step, [&](Value v) {
    if (const auto it = r_.inlined.find(v.id); it != r_.inlined.end() && found.empty())
      found = source_name(*it->second);
  });
  return found;
}

void BodyPrinter::comment_shape(Value v) {
  const Type& type = p_.graph->type(v);
  if (!comments_ || type.kind != Kind::Tensor) return;
  std::string shape;
  for (size_t i = 0; i < type.dims.size(); ++i)
    shape += (i ? ", " : "") + (type.dims[i] != kUnknown ? std::to_string(type.dims[i]) : i == 0 ? "batch" : "?");
  if (lines.back().size() + shape.size() + 6 <= kWidth) lines.back() += "  # [" + shape + "]";
}

void BodyPrinter::plain(const Step& step, size_t i, const Uses& uses, size_t indent) {
  std::vector<bool> used;
  for (const Value v : step.outputs) used.push_back(uses.count.contains(v.id));
  const auto total = std::count(used.begin(), used.end(), true);
  if (total == 0) return put(r_.step(step), indent);
  const auto first = std::find(used.begin(), used.end(), true) - used.begin();
  const Value one = step.outputs[static_cast<size_t>(first)];
  std::string text = r_.step(step, total == 1 ? one : Value{});
  std::vector<std::string> dying = free_dying(step, i, uses);
  std::string left;
  for (size_t k = 0; k < step.outputs.size(); ++k) {
    const Value v = step.outputs[k];
    if (total == 1 && v != one) continue;
    std::string name = "_";
    if (used[k]) {
      name = name_for(v, step, i, uses, dying);
      live[name] = v.id;
      r_.names[v.id] = name;
    }
    left += (left.empty() ? "" : ", ") + name;
  }
  const size_t before = lines.size();
  put(left + " = " + text, indent);
  if (total == 1 && lines.size() == before + 1 && step.kind == Step::Kind::Module) comment_shape(one);
}

// A nested body whose results become the names `into`.
void BodyPrinter::inner(const std::vector<Step>& steps, const std::vector<Value>& results,
                        const std::vector<std::string>& into, size_t indent) {
  const auto saved = live;
  const size_t before = lines.size();
  Uses uses = count(steps, results);
  decide(steps, uses, results, false);
  statements(steps, uses, indent);
  std::string left, right;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string text = r_.value(results[i], results.size() > 1 ? kConditional : kLoosest);
    if (into[i].empty() || text == into[i]) continue;
    left += (left.empty() ? "" : ", ") + into[i];
    right += (right.empty() ? "" : ", ") + text;
  }
  if (!left.empty()) put(left + " = " + right, indent);
  if (lines.size() == before) lines.push_back(std::string(indent, ' ') + "pass");
  live = saved;
}

void BodyPrinter::if_region(const Step& step, size_t i, const Uses& uses, size_t indent) {
  const std::string condition = r_.value(step.condition);
  const std::map<std::string, int32_t> around = live;
  std::vector<std::string> dying = free_dying(step, i, uses), into;
  for (size_t k = 0; k < step.outputs.size(); ++k) {
    const Value v = step.outputs[k];
    if (!uses.count.contains(v.id)) {
      into.emplace_back();
      continue;
    }
    // What a branch hands through keeps its name, if nobody needs it any more.
    std::string name;
    for (const auto& results : step.results)
      if (const auto it = r_.names.find(results[k].id);
          it != r_.names.end() && name.empty() && std::find(dying.begin(), dying.end(), it->second) != dying.end() &&
          !live.contains(it->second))
        name = it->second;
    if (name.empty()) name = name_for(v, step, i, uses, {});
    live[name] = v.id;
    into.push_back(name);
  }
  const std::map<std::string, int32_t> after = live;
  for (const auto& [name, id] : around) live.emplace(name, id);  // the branches still read them
  put("if " + condition + ":", indent);
  inner(step.bodies[0], step.results[0], into, indent + 4);
  const size_t before = lines.size();
  lines.push_back(std::string(indent, ' ') + "else:");
  inner(step.bodies[1], step.results[1], into, indent + 4);
  if (lines.size() == before + 2 && lines.back().ends_with(" pass")) lines.resize(before);
  live = after;
  for (size_t k = 0; k < into.size(); ++k)
    if (!into[k].empty()) r_.names[step.outputs[k].id] = into[k];
}

void BodyPrinter::while_region(const Step& step, size_t i, const Uses& uses, size_t indent) {
  std::vector<std::string> initial;
  for (const Value v : step.init) initial.push_back(r_.value(v, kConditional));
  const std::map<std::string, int32_t> around = live;
  const std::vector<std::string> dying = free_dying(step, i, uses);
  std::vector<std::string> names;
  std::string left, right;
  for (size_t k = 0; k < step.init.size(); ++k) {
    std::string name;
    if (std::find(dying.begin(), dying.end(), initial[k]) != dying.end() && !live.contains(initial[k]))
      name = initial[k];
    else {
      for (const auto& [taken, id] : around) live.emplace(taken, id);
      name = name_for(step.block_args[0][k], step, i, uses, {});
    }
    live[name] = step.outputs[k].id;
    names.push_back(name);
    for (const auto& args : step.block_args) r_.names[args[k].id] = name;
    if (name == initial[k]) continue;
    left += (left.empty() ? "" : ", ") + name;
    right += (right.empty() ? "" : ", ") + initial[k];
  }
  for (const auto& [name, id] : around) live.emplace(name, id);
  if (!left.empty()) put(left + " = " + right, indent);
  Uses in_condition = count(step.bodies[0], step.results[0]);
  decide(step.bodies[0], in_condition, step.results[0], false);
  const bool simple = std::all_of(step.bodies[0].begin(), step.bodies[0].end(), [&](const Step& s) {
    return s.outputs.size() == 1 && r_.inlined.contains(s.outputs[0].id);
  });
  if (simple) {
    put("while " + r_.value(step.results[0][0]) + ":", indent);
  } else {
    put("while True:", indent);
    const auto saved = live;
    statements(step.bodies[0], in_condition, indent + 4);
    put("if not " + r_.value(step.results[0][0], kNot) + ":", indent + 4);
    put("break", indent + 8);
    live = saved;
  }
  inner(step.bodies[1], step.results[1], names, indent + 4);
  live = around;
  for (const std::string& name : dying) live.erase(name);
  for (size_t k = 0; k < names.size(); ++k) {
    r_.names[step.outputs[k].id] = names[k];
    if (uses.count.contains(step.outputs[k].id)) live[names[k]] = step.outputs[k].id;
  }
}

void BodyPrinter::assigns(const std::vector<Step>& steps, size_t from, size_t to, size_t indent) {
  put("with torch.no_grad():", indent);
  for (size_t i = from; i < to; ++i)
    put(r_.value(steps[i].target) + ".copy_(" + r_.value(steps[i].source) + ")", indent + 4);
}

void BodyPrinter::statements(const std::vector<Step>& steps, const Uses& uses, size_t indent) {
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const bool inlined =
        std::any_of(step.outputs.begin(), step.outputs.end(), [&](Value v) { return r_.inlined.contains(v.id); });
    if (inlined) continue;
    switch (step.kind) {
      case Step::Kind::If: if_region(step, i, uses, indent); break;
      case Step::Kind::While: while_region(step, i, uses, indent); break;
      case Step::Kind::Assign: {
        size_t end = i + 1;
        while (end < steps.size() && steps[end].kind == Step::Kind::Assign) ++end;
        assigns(steps, i, end, indent);
        i = end - 1;
        break;
      }
      default: plain(step, i, uses, indent);
    }
  }
}

}  // namespace

Forward print_forward(const Program& program, const Class& cls, const std::vector<std::string>& input_names) {
  const Module& instance = program.modules[static_cast<size_t>(cls.instances[0])];
  Renderer renderer(program, cls, instance);
  BodyPrinter printer(program, renderer, cls.kind == "model" || cls.kind == "scope");
  Forward out;
  for (size_t i = 0; i < instance.inputs.size(); ++i) {
    renderer.names[instance.inputs[i].id] = input_names[i];
    printer.live[input_names[i]] = instance.inputs[i].id;
  }
  out.parameters = input_names;
  printer.by_parts = cls.kind == "layer";
  const auto& outputs = program.graph->outputs;
  for (size_t i = 0; cls.kind == "model" && outputs.size() > 1 && i < outputs.size(); ++i)
    printer.output_names[instance.outputs[i].id] = identifier(outputs[i].name);
  printer.forward(instance.body, instance.outputs, 8);
  out.lines = std::move(printer.lines);
  return out;
}

}  // namespace midstream::emit
