// Which literals are arguments of a class, and what classes, attributes and arguments are called.
#include <algorithm>

#include "emit/names.h"
#include "emit/print_table.h"
#include "emit/structure.h"

namespace midstream::emit {
namespace {

Module& module_of(Program& p, int id) { return p.modules[static_cast<size_t>(id)]; }

std::string annotation(const std::vector<Literal>& values) {
  const auto all = [&](auto&& is) { return std::all_of(values.begin(), values.end(), is); };
  if (all([](const Literal& v) { return std::holds_alternative<bool>(v); })) return "bool";
  if (all([](const Literal& v) { return std::holds_alternative<int64_t>(v); })) return "int";
  if (all([](const Literal& v) { return std::holds_alternative<double>(v); })) return "float";
  if (all([](const Literal& v) { return std::holds_alternative<std::vector<int64_t>>(v); })) return "tuple[int, ...]";
  return "int | tuple[int, ...]";
}

void find_params_of(Program& program, Class& cls) {
  std::vector<std::vector<Slot>> all;
  for (const int id : cls.instances) all.push_back(slots(program, id));
  std::map<std::vector<Literal>, size_t> known;  // values in all instances -> parameter
  for (size_t s = 0; s < all[0].size(); ++s) {
    std::vector<Literal> values;
    for (const auto& of_instance : all) values.push_back(of_instance.at(s).value);
    // By their text too: a NaN is not equal to itself.
    const auto same = [&](const Literal& v) { return v == values[0] || to_python(v) == to_python(values[0]); };
    if (std::all_of(values.begin(), values.end(), same)) continue;
    const auto [it, fresh] = known.emplace(values, cls.params.size());
    if (fresh) cls.params.push_back({.name = {}, .annotation = annotation(values), .slot = s});
    const int param = static_cast<int>(it->second);
    const Slot& slot = all[0][s];
    if (slot.piece) {
      slot.piece->param = param;
      cls.params[it->second].in_forward = true;
    }
    if (slot.arg) slot.arg->param = param;
    if (slot.module >= 0) module_of(program, slot.module).slot_params[slot.slot] = param;
  }
}

// --- names of classes

// Is the last sum of the body one with what went in (or with something computed from it by modules)?
enum class Shortcut { None, Identity, Projection };
Shortcut shortcut(const Program& program, const Module& m) {
  for (auto step = m.body.rbegin(); step != m.body.rend(); ++step) {
    const auto& pieces = step->expr.pieces;
    if (step->kind != Step::Kind::Expr || pieces.size() != 3 || pieces[1].text != " + ") continue;
    if (pieces[0].kind != Piece::Kind::Operand || pieces[2].kind != Piece::Kind::Operand) continue;
    if (program.leaf(pieces[0].value) || program.leaf(pieces[2].value)) continue;
    const auto is_input = [&](Value v) { return std::find(m.inputs.begin(), m.inputs.end(), v) != m.inputs.end(); };
    return is_input(pieces[0].value) || is_input(pieces[2].value) ? Shortcut::Identity : Shortcut::Projection;
  }
  return Shortcut::None;
}

std::string short_type(const Program& program, const Module& m) {
  if (m.cls >= 0) return program.classes[static_cast<size_t>(m.cls)].name;
  std::string type = m.type.substr(m.type.rfind('.') + 1);
  while (!type.empty() && (isdigit(static_cast<unsigned char>(type.back())) || type.ends_with("d"))) {
    if (type.ends_with("d") && (type.size() < 2 || !isdigit(static_cast<unsigned char>(type[type.size() - 2])))) break;
    type.pop_back();
  }
  return type;
}

// "encoder/down0_conv" -> "DownConv".
std::string letters(const std::string& path) {
  std::string out;
  for (std::string word : words(path.substr(path.rfind('/') + 1))) {
    while (!word.empty() && isdigit(static_cast<unsigned char>(word.back()))) word.pop_back();
    if (!word.empty()) out += class_name(word);
  }
  return out;
}

std::string block_name(const Program& program, const Class& cls, bool several_residual) {
  const Module& first = program.modules[static_cast<size_t>(cls.instances[0])];
  for (const int child : first.children)  // what a layer of several parts is in, is that layer's block
    if (const int c = program.modules[static_cast<size_t>(child)].cls;
        c >= 0 && program.classes[static_cast<size_t>(c)].kind == "layer")
      return program.classes[static_cast<size_t>(c)].name + "Block";
  const Shortcut way = shortcut(program, first);
  if (way != Shortcut::None) {
    if (!several_residual) return "ResidualBlock";
    return way == Shortcut::Identity ? "IdentityBlock" : "ProjectionBlock";
  }
  // What the instances' names have in common but for numbers; else what is in it.
  std::string name = letters(first.path);
  for (const int id : cls.instances)
    if (letters(program.modules[static_cast<size_t>(id)].path) != name) name.clear();
  for (const int child : first.children)
    if (const Module& m = program.modules[static_cast<size_t>(child)]; m.heavy && name.empty())
      name = short_type(program, m);
  return name.ends_with("Block") ? name : name + "Block";
}

// The helpers that the file prints, also for the sake of one another.
void add_helper(const std::string& name, std::set<std::string>& out) {
  const HelperText* text = find_helper(name);
  if (!out.insert(name).second || !text) return;
  for (const std::string& needed : text->needs) add_helper(needed, out);
}

void name_classes(Program& program, const std::string& model_name) {
  std::set<std::string> helpers;
  for (const std::string& name : program.helpers) add_helper(name, helpers);
  std::set<std::string> taken = helpers;
  size_t residual = 0;
  for (const Class& cls : program.classes)
    residual += cls.kind == "block" && shortcut(program, module_of(program, cls.instances[0])) != Shortcut::None;
  const auto give = [&](Class& cls, const std::string& name) {
    cls.name = helpers.contains(name) ? name + "Layer" : name;
    for (int i = 2; !taken.insert(cls.name).second; ++i) cls.name = name + std::to_string(i);
  };
  for (Class& cls : program.classes)
    if (cls.kind == "model") give(cls, class_name(model_name));
  for (Class& cls : program.classes)
    if (cls.kind == "scope" || cls.kind == "layer") give(cls, class_name(cls.name));
  for (Class& cls : program.classes)
    if (cls.kind == "block") give(cls, block_name(program, cls, residual > 1));
}

// --- names of attributes

std::string snake(const std::string& name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    if (isupper(c) && i > 0 &&
        (islower(static_cast<unsigned char>(name[i - 1])) ||
         (i + 1 < name.size() && islower(static_cast<unsigned char>(name[i + 1])))))
      out += '_';
    out += static_cast<char>(tolower(c));
  }
  return out;
}

// Without numbers at its end.
std::string stem(const std::string& name) {
  std::vector<std::string> parts = words(name);
  while (parts.size() > 1 &&
         std::all_of(parts.back().begin(), parts.back().end(), [](unsigned char c) { return isdigit(c); }))
    parts.pop_back();
  return joined(parts, parts.size());
}

// What the source calls a module inside of `scope`; where that is nothing, what its weights are called, or its type.
std::string source_name(const Program& program, const Module& m, const std::string& scope) {
  std::string name = relative(m.path, scope);
  if (m.is_tensor()) return name.empty() ? "constant" : name;
  const bool nothing = name.empty() || m.path == scope;
  if (!nothing) return name.substr(0, name.find('/'));
  if (m.is_sequential()) return "blocks";
  if (m.cls >= 0) return snake(program.classes[static_cast<size_t>(m.cls)].name);
  if (!m.tensors.empty() && m.tensors[0].variable >= 0) {
    std::vector<std::string> of_weight =
        words(relative(program.graph->variables->at(static_cast<size_t>(m.tensors[0].variable)).name, scope));
    if (of_weight.size() > 1) return joined(of_weight, of_weight.size() - 1);
  }
  return snake(short_type(program, m));
}

void name_attributes(Program& program, Class& cls) {
  std::set<std::string> taken;
  const Module& first = module_of(program, cls.instances[0]);
  for (size_t k = 0; k < first.children.size(); ++k) {
    std::string name = source_name(program, module_of(program, first.children[k]), first.path);
    for (const int id : cls.instances) {
      const Module& other = module_of(program, id);
      const std::string theirs = source_name(program, module_of(program, other.children.at(k)), other.path);
      if (theirs == name || stem(theirs) == name) continue;
      name =
          stem(theirs) == stem(name) ? stem(name) : snake(short_type(program, module_of(program, first.children[k])));
    }
    cls.attributes.push_back(unique(identifier(name), taken));
  }
}

// --- names of parameters

bool is_size_in(const std::string& n) { return n == "in_channels" || n == "in_features" || n == "input_size"; }
bool is_size_out(const std::string& n) { return n == "out_channels" || n == "out_features" || n == "hidden_size"; }
bool is_size(const std::string& n) {
  return is_size_in(n) || is_size_out(n) || n == "num_features" || n == "normalized_shape" || n == "embedding_dim";
}

void name_params(Program& program, Class& cls) {
  const std::vector<Slot> all = slots(program, cls.instances[0]);
  const auto param_of = [&](const Slot& s) {
    if (s.piece) return s.piece->param;
    if (s.arg) return s.arg->param;
    const auto& given = module_of(program, s.module).slot_params;
    const auto it = given.find(s.slot);
    return it == given.end() ? -1 : it->second;
  };
  int first_in = -1, last_out = -1;
  std::string in_name, out_name;
  for (const Slot& s : all) {
    if (first_in < 0 && is_size_in(s.name)) {
      first_in = param_of(s);
      in_name = s.name;
      if (first_in < 0) first_in = -2;
    }
    if (is_size_out(s.name)) {
      last_out = param_of(s);
      out_name = s.name;
    }
  }
  std::set<std::string> taken;
  for (size_t p = 0; p < cls.params.size(); ++p) {
    const Slot& slot = all[cls.params[p].slot];
    const int id = static_cast<int>(p);
    std::string name = slot.name == "p" ? "dropout" : slot.name;
    const std::string kind = name.find("channels") != std::string::npos ? "channels" : "features";
    if (is_size(name)) {
      if (id == first_in && id == last_out)
        name = kind;
      else if (id == first_in)
        name = in_name;
      else if (id == last_out)
        name = out_name;
      else
        name = "hidden_" + kind;
    }
    if (taken.contains(name) && slot.owner >= 0) {
      const Module& first = module_of(program, cls.instances[0]);
      const auto at = std::find(first.children.begin(), first.children.end(), slot.owner);
      if (at != first.children.end())
        name = cls.attributes[static_cast<size_t>(at - first.children.begin())] + "_" + slot.name;
    }
    cls.params[p].name = unique(identifier(name), taken);
  }
}

}  // namespace

void find_params(Program& program) {
  for (Class& cls : program.classes) find_params_of(program, cls);
}

void name_everything(Program& program, const std::string& model_name) {
  name_classes(program, model_name);
  for (Class& cls : program.classes) {
    name_attributes(program, cls);
    name_params(program, cls);
  }
}

}  // namespace midstream::emit
