// Text -> graph. Calls are checked and their types inferred as in the Builder; only leaves and block arguments carry
// types in the text.
#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "graph/call.h"
#include "graph/dialect.h"
#include "graph/parse_leaves.h"

namespace midstream {
namespace {

class Parser : text::LeafParser {
 public:
  Parser(const std::string& text, const Dialect& dialect) : LeafParser(text), dialect_(dialect) {}

  std::unique_ptr<Graph> run() {
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
  // --- nodes
  void block(Block& to, const char* last_word) {
    while (!in_.accept_word(last_word)) statement(to);
    std::vector<Value> results;
    while (in_.peek() != '}') {
      std::string name;
      if (in_.peek() == '"')
        name = in_.quoted();
      else if (in_.peek() != '%')
        name = in_.word();
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
    if (op == "if" || op == "while" || op == "call")
      outputs = region(to, op);
    else
      outputs = call(to, op);
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
    if (op == "if")
      node->args = {{"cond", operands[0]}};
    else
      node->args = {{op == "while" ? "init" : "inputs", operands}};
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
        if (node.blocks[1].results.size() != results.size())
          in_.fail("the two branches give different numbers of values.");
        info = merge_branches(info, graph_->info(node.blocks[1].results[i]), "");
      }
      info.leaf = LeafKind::None;
      info.index = -1;
      info.name.clear();
      node.outputs.push_back(graph_->add_value(std::move(info)));
    }
  }

  const Dialect& dialect_;
  std::unordered_map<std::string, Value> names_;
};

}  // namespace

std::unique_ptr<Graph> parse_graph(const std::string& text, const Dialect& dialect) {
  return Parser(text, dialect).run();
}

}  // namespace midstream
