// Text -> graph. Calls are checked and their types inferred as in the Builder; only leaves and block arguments carry
// types in the text.
#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "graph/call.h"
#include "graph/dialect.h"
#include "graph/text.h"

namespace midstream {
namespace {

class Parser {
 public:
  Parser(const std::string& text, const Dialect& dialect) : in_(text), dialect_(dialect) {}

  std::unique_ptr<Graph> run() {
    graph_ = std::make_unique<Graph>(std::make_shared<Variables>());
    in_.expect("graph");
    if (in_.peek() == '"') graph_->name = in_.quoted();
    if (in_.accept_word("sample_sizes")) {
      graph_->sample_sizes[0] = in_.integer();
      in_.expect(",");
      graph_->sample_sizes[1] = in_.integer();
    }
    inputs();
    in_.expect("{");
    block(graph_->body, "return");
    if (!in_.at_end()) in_.fail("the graph has ended, but the text has not.");
    return std::move(graph_);
  }

 private:
  Value use() {
    const std::string name = in_.value_name();
    auto it = names_.find(name);
    if (it == names_.end()) in_.fail("%" + name + " is used before it is defined.");
    return it->second;
  }
  void define(const std::string& name, Value v) {
    if (!names_.emplace(name, v).second) in_.fail("%" + name + " is defined twice.");
    // Numbers are given anew by the printer.
    if (text::is_identifier(name)) graph_->info(v).name = name;
  }

  // --- types
  DType dtype() {
    const std::string word = in_.word();
    auto parsed = parse_short_dtype(word);
    if (!parsed) in_.fail("'" + word + "' is no type.");
    return *parsed;
  }
  ValueInfo type() {
    ValueInfo info;
    info.type = Type{Kind::None, DType::Float32, {}};
    std::vector<std::pair<size_t, std::array<int64_t, 2>>> given;  // axis -> samples
    if (in_.accept_word("int")) info.type = Type{Kind::Int, DType::Int64, {}};
    else if (in_.accept_word("bool")) info.type = Type{Kind::Bool, DType::Bool, {}};
    else if (in_.accept_word("float")) info.type = Type{Kind::Float, DType::Float64, {}};
    else if (in_.accept_word("none")) return info;
    else if (in_.accept("list(")) {
      info.type.kind = Kind::List;
      if (in_.accept("?")) info.type.dims = {kUnknown};
      else shape(info, given);
      const bool blank = info.type.dims == Dims{kUnknown} && given.empty() && in_.accept(")");
      info.samples = default_samples(*graph_, info.type);
      if (blank) info.samples[0].dims = info.samples[1].dims = {kUnknown};
      else in_.expect(")");
    } else {
      info.type.kind = Kind::Tensor;
      shape(info, given);
    }
    if (info.type.kind != Kind::List) info.samples = default_samples(*graph_, info.type);
    for (const auto& [axis, sizes] : given)
      for (size_t s = 0; s < 2; ++s) info.samples[s].dims[axis] = sizes[s];
    if (info.type.kind != Kind::Tensor && in_.peek() == '(') numbers(info);
    return info;
  }
  void shape(ValueInfo& info, std::vector<std::pair<size_t, std::array<int64_t, 2>>>& given) {
    info.type.dtype = dtype();
    in_.expect("[");
    while (!in_.accept("]")) {
      if (!in_.accept("?")) {
        info.type.dims.push_back(in_.integer());
      } else {
        info.type.dims.push_back(kUnknown);
        if (in_.accept("(")) {
          const int64_t a = in_.integer();
          in_.expect(",");
          given.push_back({info.type.dims.size() - 1, {a, in_.integer()}});
          in_.expect(")");
        }
      }
      in_.accept(",");
    }
  }
  void numbers(ValueInfo& info) {
    in_.expect("(");
    for (Sample& s : info.samples) {
      bool is_real = false;
      const double real = in_.number(&is_real, &s.number);
      if (info.type.kind == Kind::Float) s.real = real;
      in_.accept(",");
    }
    in_.expect(")");
  }

  // --- leaves
  void inputs() {
    in_.expect("(");
    while (!in_.accept(")")) {
      const std::string name = in_.value_name();
      std::string input_name = in_.peek() == '"' ? in_.quoted() : name;
      in_.expect(":");
      ValueInfo info = type();
      info.leaf = LeafKind::Input;
      info.index = static_cast<int32_t>(graph_->inputs.size());
      const Value v = graph_->add_value(std::move(info));
      define(name, v);
      graph_->inputs.push_back({std::move(input_name), v});
      in_.accept(",");
    }
  }
  Value variable() {
    Variable v;
    v.name = in_.quoted();
    const ValueInfo source = type();
    v.dtype = source.type.dtype;
    v.source_dims = source.type.dims;
    v.trainable = in_.accept_word("trainable");
    if (in_.accept_word("role")) {
      const std::string word = in_.word();
      for (Role role : {Role::Weight, Role::Seed, Role::Metric, Role::Slot, Role::Step})
        if (text::name(role) == word) v.role = role;
    }
    if (in_.accept_word("source")) v.source = in_.quoted();
    if (in_.accept_word("stored_as")) v.stored_as = parse_transforms(in_.rest_of_line());
    v.layout_chooser = Variable::kLayoutFixed;
    ValueInfo info;
    info.type = Type{Kind::Tensor, v.dtype, v.dims()};
    for (Sample& s : info.samples) s.dims = info.type.dims;
    info.leaf = LeafKind::Variable;
    info.index = static_cast<int32_t>(graph_->variables->size());
    graph_->variables->add(std::move(v));
    return graph_->add_value(std::move(info));
  }
  Value training() {
    ValueInfo info;
    info.type = Type{Kind::Bool, DType::Bool, {}};
    info.samples = default_samples(*graph_, info.type);
    info.leaf = LeafKind::Training;
    return graph_->training = graph_->add_value(std::move(info));
  }
  Value constant() {
    ValueInfo info;
    Array array;
    bool is_real = false;
    int64_t integer = 0;
    if (in_.accept_word("int")) {
      info.type = Type{Kind::Int, DType::Int64, {}};
      integer = in_.integer();
      array = Array::of(DType::Int64, {}, std::vector<int64_t>{integer});
    } else if (in_.accept_word("bool")) {
      info.type = Type{Kind::Bool, DType::Bool, {}};
      integer = in_.accept_word("true");
      if (!integer) in_.expect("false");
      array = Array::of(DType::Bool, {}, std::vector<uint8_t>{integer != 0});
    } else if (in_.accept_word("float")) {
      info.type = Type{Kind::Float, DType::Float64, {}};
      info.samples[0].real = info.samples[1].real = in_.number(&is_real, &integer);
      integer = 0;
      array = Array::of(DType::Float64, {}, std::vector<double>{info.samples[0].real});
    } else {
      info = type();
      array = elements(info.type);
    }
    for (Sample& s : info.samples) s.number = integer;
    info.leaf = LeafKind::Constant;
    info.index = static_cast<int32_t>(graph_->constants.size());
    graph_->constants.push_back(std::move(array));
    return graph_->add_value(std::move(info));
  }
  Array elements(const Type& type) {
    std::byte* bytes = nullptr;
    if (type.dtype == DType::String) {
      std::vector<std::string> items;
      if (in_.accept("...")) items.resize(static_cast<size_t>(num_elements(type.dims)));
      else {
        in_.expect("[");
        while (!in_.accept("]")) {
          items.push_back(in_.quoted());
          in_.accept(",");
        }
      }
      return Array::of_strings(type.dims, std::move(items));
    }
    Array array = Array::allocate(type.dtype, type.dims, &bytes);
    if (in_.accept("...")) return array;
    const bool bits = in_.accept_word("bits");
    in_.expect("[");
    for (int64_t i = 0; i < array.size(); ++i) {
      element(type.dtype, bits, bytes + static_cast<size_t>(i) * item_size(type.dtype));
      in_.accept(",");
    }
    in_.expect("]");
    return array;
  }
  void element(DType dtype, bool bits, std::byte* to) {
    bool is_real = false;
    int64_t integer = 0;
    const double real = in_.number(&is_real, &integer);
    const auto single = static_cast<float>(real);
    if (dtype == DType::Float64) std::memcpy(to, &real, sizeof real);
    else if (dtype == DType::Float32) std::memcpy(to, &single, sizeof single);
    else if (is_floating(dtype) && !bits) in_.fail("half floats are written as bits.");
    else std::memcpy(to, &integer, item_size(dtype));  // little-endian
  }

  // --- nodes
  void block(Block& to, const char* last_word) {
    while (!in_.accept_word(last_word)) statement(to);
    std::vector<Value> results;
    while (in_.peek() != '}') {
      std::string name;
      if (in_.peek() == '"') name = in_.quoted();
      else if (in_.peek() != '%') name = in_.word();
      if (in_.peek() == '=') in_.expect("=");
      results.push_back(use());
      if (&to == &graph_->body) graph_->outputs.push_back({name, results.back()});
      in_.accept(",");
    }
    in_.expect("}");
    to.results = std::move(results);
  }

  void statement(Block& to) {
    if (in_.accept_word("scope")) {
      std::string path = in_.quoted();
      graph_->scopes.push_back({std::move(path), in_.quoted()});
      return;
    }
    if (in_.accept_word("assign")) return assign(to);
    std::vector<std::string> names;
    const bool list = in_.accept("[");
    while (in_.peek() == '%') {
      names.push_back(in_.value_name());
      in_.accept(",");
    }
    if (list) in_.expect("]");
    if (!names.empty() || list) in_.expect("=");
    if (names.size() == 1 && !list) {
      if (in_.accept_word("variable")) return define(names[0], variable());
      if (in_.accept_word("constant")) return define(names[0], constant());
      if (in_.accept_word("training")) return define(names[0], training());
    }
    std::vector<Value> outputs;
    const std::string op = in_.word();
    if (op == "if" || op == "while" || op == "call") outputs = region(to, op);
    else outputs = call(to, op);
    if (outputs.size() != names.size())
      in_.fail(op + " gives " + std::to_string(outputs.size()) + " values, not " + std::to_string(names.size()) + ".");
    for (size_t i = 0; i < names.size(); ++i) define(names[i], outputs[i]);
  }

  int32_t origin() {
    std::string text = in_.comment();
    if (text.empty()) return -1;
    Origin o;
    if (size_t comma = text.rfind(", "); comma != std::string::npos) {
      o.op = text.substr(comma + 2);
      text.erase(comma);
    }
    if (size_t call = text.rfind(" (call "); call != std::string::npos && text.ends_with(')')) {
      o.call = std::atoi(text.c_str() + call + 7) - 1;
      text.erase(call);
    }
    o.path = text;
    if (graph_->origins.empty() || !(graph_->origins.back() == o)) graph_->origins.push_back(o);
    return static_cast<int32_t>(graph_->origins.size() - 1);
  }

  void assign(Block& to) {
    auto node = std::make_unique<Node>();
    node->kind = NodeKind::Assign;
    node->op = "assign";
    const Value variable = use();
    in_.expect("=");
    node->args = {{"variable", variable}, {"value", use()}};
    node->origin = origin();
    to.nodes.push_back(std::move(node));
  }

  std::vector<Value> call(Block& to, const std::string& op) {
    if (!dialect_.has(op)) in_.fail("there is no operator " + op + ".");
    const Schema& schema = dialect_.schema(op);
    Args args;
    in_.expect("(");
    while (!in_.accept(")")) {
      std::string name;
      if (!positional()) {
        name = in_.word();
        in_.expect("=");
      } else {
        if (args.size() >= schema.args.size()) in_.fail(op + " has too many arguments.");
        name = schema.args[args.size()].name;
      }
      args.push_back({name, arg()});
      in_.accept(",");
    }
    return append_call(*graph_, to, dialect_, op, args, origin());
  }
  bool positional() {
    const char c = in_.peek();
    return c == '%' || c == '[' || c == '"' || in_.at_number();
  }

  Arg arg() {
    if (in_.peek() == '%') return use();
    if (in_.peek() == '"') return in_.quoted();
    if (in_.peek() == '[') return list();
    if (in_.at_number()) {
      bool is_real = false;
      int64_t integer = 0;
      const double real = in_.number(&is_real, &integer);
      return is_real ? Arg(real) : Arg(integer);
    }
    if (in_.accept_word("none")) return {};
    if (in_.accept_word("true")) return Arg(true);
    if (in_.accept_word("false")) return Arg(false);
    return dtype();
  }
  Arg list() {
    in_.expect("[");
    std::vector<Value> values;
    std::vector<IntArg> ints;
    std::vector<double> reals;
    std::vector<bool> bools;
    bool has_reals = false, has_tensors = false;
    while (!in_.accept("]")) {
      if (in_.peek() == '%') {
        values.push_back(use());
        has_tensors |= graph_->type(values.back()).kind != Kind::Int;
        ints.emplace_back(values.back());
      } else if (in_.accept_word("none")) {
        values.push_back({});
        has_tensors = true;
      } else if (in_.at_number()) {
        bool is_real = false;
        int64_t integer = 0;
        reals.push_back(in_.number(&is_real, &integer));
        has_reals |= is_real;
        ints.emplace_back(integer);
      } else {
        bools.push_back(in_.accept_word("true"));
        if (!bools.back()) in_.expect("false");
      }
      in_.accept(",");
    }
    if (has_tensors) return values;
    if (!bools.empty()) return bools;
    if (has_reals) return reals;
    return ints;
  }

  std::vector<Value> region(Block& to, const std::string& op) {
    auto node = std::make_unique<Node>();
    node->kind = NodeKind::Region;
    node->op = op;
    std::vector<Value> operands;
    std::vector<ValueInfo> infos;
    node->blocks.resize(op == "call" ? 1 : 2);
    region_arguments(*node, operands, infos);
    if (op == "if" && operands.size() != 1) in_.fail("an if has one condition.");
    in_.expect("{");
    node->origin = origin();
    block(node->blocks[0], "yield");
    if (op == "if") in_.expect("else {");
    if (op == "while") {
      in_.expect("do(");
      for (const ValueInfo& info : infos) {
        const Value v = graph_->add_value(info);
        define(in_.value_name(), v);
        node->blocks[1].args.push_back(v);
        in_.accept(",");
      }
      in_.expect(")");
      in_.expect("{");
    }
    if (op != "call") block(node->blocks[1], "yield");
    if (op == "if") node->args = {{"cond", operands[0]}};
    else node->args = {{op == "while" ? "init" : "inputs", operands}};
    outputs(*node, infos);
    to.nodes.push_back(std::move(node));
    return to.nodes.back()->outputs;
  }
  // (%i: int = %0, ...) or (%cond)
  void region_arguments(Node& node, std::vector<Value>& operands, std::vector<ValueInfo>& infos) {
    std::vector<std::string> names;
    in_.expect("(");
    while (!in_.accept(")")) {
      const std::string name = in_.value_name();
      if (in_.accept(":")) {
        names.push_back(name);
        infos.push_back(type());
        in_.expect("=");
        operands.push_back(use());
      } else {
        auto it = names_.find(name);
        if (it == names_.end()) in_.fail("%" + name + " is used before it is defined.");
        operands.push_back(it->second);
      }
      in_.accept(",");
    }
    for (size_t i = 0; i < names.size(); ++i) {
      const Value v = graph_->add_value(infos[i]);
      define(names[i], v);
      node.blocks[0].args.push_back(v);
    }
  }
  void outputs(Node& node, const std::vector<ValueInfo>& infos) {
    if (node.op == "while") {
      for (const ValueInfo& info : infos) node.outputs.push_back(graph_->add_value(info));
      return;
    }
    const auto& results = node.blocks[0].results;
    for (size_t i = 0; i < results.size(); ++i) {
      ValueInfo info = graph_->info(results[i]);
      if (node.op == "if") {
        if (node.blocks[1].results.size() != results.size()) in_.fail("the two branches give different numbers of values.");
        info = merge_branches(info, graph_->info(node.blocks[1].results[i]), "");
      }
      info.leaf = LeafKind::None;
      info.index = -1;
      info.name.clear();
      node.outputs.push_back(graph_->add_value(std::move(info)));
    }
  }

  text::Scanner in_;
  const Dialect& dialect_;
  std::unique_ptr<Graph> graph_;
  std::unordered_map<std::string, Value> names_;
};

}  // namespace

std::unique_ptr<Graph> parse_graph(const std::string& text, const Dialect& dialect) {
  return Parser(text, dialect).run();
}

}  // namespace midstream
