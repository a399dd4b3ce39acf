// The program between the graph and its Python text: expressions with holes, steps of a forward, modules (attributes)
// and classes. raise.cpp makes one class of it, nest.cpp and blocks.cpp cut that into classes, body.cpp and writer.cpp
// print them. Nothing here knows an operator by name.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "graph/graph.h"

namespace midstream::emit {

// Python's operator precedences, loosest first.
enum Precedence {
  kLoosest,
  kConditional,
  kOr,
  kAnd,
  kNot,
  kCompare,
  kBitOr,
  kBitXor,
  kBitAnd,
  kSum,
  kProduct,
  kUnary,
  kPower,
  kAtom
};

// A number in the source. It may differ between the repetitions of a block and is then an argument of the class.
using Literal = std::variant<bool, int64_t, double, std::vector<int64_t>>;
std::string to_python(const Literal& literal);
std::string to_python(double number);

struct Piece {
  enum class Kind { Text, Operand, Literal };
  Kind kind = Kind::Text;
  std::string text;      // Text: as it is; Literal: what it is called ("stride")
  Value value;           // Operand
  int binds = kLoosest;  // Operand, Literal: what stands here needs parentheses if it binds less
  Literal literal;
  bool spliced = false;  // Literal that is a list: without its parentheses
  int param = -1;        // Literal: printed as this argument of the class
};
struct Expr {
  std::vector<Piece> pieces;
  int precedence = kAtom;
  Expr& text(std::string t);
  Expr& operand(Value v, int binds = kLoosest);
  Expr& literal(std::string name, Literal value, bool spliced = false, int binds = kLoosest);
};

// An argument of a module's constructor.
struct CtorArg {
  std::string name;
  Literal literal;
  bool positional = false;
  bool has_default = false;
  Literal default_value;  // not printed when equal
  int param = -1;         // of the class that holds the module
  std::string text;       // fixed Python text instead of a literal
};

struct ModuleTensor {
  std::string key;    // "weight"
  int variable = -1;  // index in Variables; -1: a constant
  int constant = -1;
  bool buffer = false;
};

struct Step;

// An attribute of a class: nn.Conv2d, an instance of a class of ours, nn.Sequential, or a lone parameter or buffer.
struct Module {
  std::string type;  // "nn.Conv2d"; "nn.Parameter" and "buffer": a lone tensor; "nn.Sequential"; empty: a class
  std::vector<CtorArg> args;
  std::vector<ModuleTensor> tensors;
  std::string path;     // the layer it comes from
  bool heavy = false;   // at most one such call a line
  bool frozen = false;  // its parameters do not train
  std::string comment;
  std::vector<int> children;  // nn.Sequential: in order; class: its attributes
  // Instance of a class: its own code, which is the class's but for names and literals.
  int cls = -1;
  std::vector<Step> body;
  std::vector<Value> inputs, outputs;
  std::map<size_t, int> slot_params;  // literals of the body that are arguments of the class around
  bool is_tensor() const { return type == "nn.Parameter" || type == "buffer"; }
  bool is_sequential() const { return type == "nn.Sequential"; }
};

struct Step {
  enum class Kind { Expr, Module, If, While, Assign };
  Kind kind = Kind::Expr;
  Expr expr;        // Expr: what is computed; Module: what stands in the parentheses of the call
  int module = -1;  // Module
  std::vector<Value> outputs;
  // How several outputs come: patterns with {0}, {1}; empty: "{0}, {1}".
  std::string result;
  bool effects = false;                        // must run even if nobody uses the outputs
  Value condition;                             // If; While: the first result of bodies[0]
  std::vector<std::vector<Step>> bodies;       // If {then, else}; While {condition, body}
  std::vector<std::vector<Value>> results;     // of the bodies
  std::vector<std::vector<Value>> block_args;  // While: of the bodies
  std::vector<Value> init;                     // While
  Value target, source;                        // Assign
  std::string path, op;                        // origin
  int call = 0;
};

struct Param {
  std::string name, annotation;
  size_t slot = 0;  // one of the literals that it stands for
  bool in_forward = false;
};
// What its instances have in common; the text is printed from the first one.
struct Class {
  std::string name;
  std::string path, op;  // where it comes from; path: of the first instance
  std::string kind;      // "scope", "layer", "block": how it was found
  std::vector<int> instances;
  std::vector<std::string> attributes;  // names, parallel to the instances' children
  std::vector<Param> params;
};

struct Leaf {
  int module = -1;
  std::string key;  // "" : the module is the tensor itself
};

struct Program {
  const Graph* graph = nullptr;
  std::deque<Module> modules;
  std::deque<Class> classes;
  int model = -1;                            // the module that is everything
  std::unordered_map<int32_t, Leaf> leaves;  // value -> where the tensor is
  std::set<std::string> helpers;             // Python definitions that are needed (print_table.h)
  const Leaf* leaf(Value v) const {
    auto it = leaves.find(v.id);
    return it == leaves.end() ? nullptr : &it->second;
  }
};

// Every value that a step uses from outside itself, in order of appearance, repetitions included.
void for_each_use(const Step& step, const std::function<void(Value)>& f);
// Every step, nested ones included.
void for_each_step(std::vector<Step>& steps, const std::function<void(Step&)>& f);
void for_each_step(const std::vector<Step>& steps, const std::function<void(const Step&)>& f);

}  // namespace midstream::emit
