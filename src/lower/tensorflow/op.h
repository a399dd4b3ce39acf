// What a TensorFlow op's lowering sees. A tensor of a TensorFlow graph is one of a few forms here: numbers known while
// building (constants and what folds from them), host integers (shapes and arithmetic on them; rank 0 or 1), a value of
// the graph, or a handle of a variable. Lowerings ask for the form they need and get it.
//
//   static void bias_add(Op& op) {
//     op.expect_attrs({"data_format"});
//     op.output(...);
//   }
//   void register_nn(Registry& r) { r.tf("BiasAdd", bias_add); }
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "formats/graphdef.h"
#include "graph/builder.h"

namespace midstream::tensorflow {

// Host integers: a shape, a size, an index. `rank` 0: exactly one.
struct HostInts {
  Ints values;
  int rank = 1;
  DType dtype = DType::Int32;
};
// A handle of the entry `name` of Variables. TF1's reference variables (`ref`) stand for their value wherever a tensor
// is wanted; resource variables are read by ops of their own.
struct VariableHandle {
  std::string name;
  bool ref = false;
};
// A string scalar or anything else that only names something (a hash table, a random generator).
struct Opaque {
  std::string what;
};

class Operand {
 public:
  // Not inline: GCC 12 warns of uninitialized variants where it inlines these.
  Operand();
  Operand(const Operand&);
  Operand(Operand&&) noexcept;
  Operand& operator=(const Operand&);
  Operand& operator=(Operand&&) noexcept;
  ~Operand();
  Operand(Array constant) : form_(std::move(constant)) {}
  Operand(HostInts ints) : form_(std::move(ints)) {}
  Operand(Value value) : form_(value) {}
  Operand(VariableHandle handle) : form_(std::move(handle)) {}
  Operand(Opaque opaque) : form_(std::move(opaque)) {}

  const Array* constant() const { return std::get_if<Array>(&form_); }
  const HostInts* ints() const { return std::get_if<HostInts>(&form_); }
  const Value* value() const { return std::get_if<Value>(&form_); }
  const VariableHandle* variable() const { return std::get_if<VariableHandle>(&form_); }
  const Opaque* opaque() const { return std::get_if<Opaque>(&form_); }
  bool defined() const { return !std::holds_alternative<std::monostate>(form_); }

 private:
  std::variant<std::monostate, Array, HostInts, Value, VariableHandle, Opaque> form_;
};
using Operands = std::vector<Operand>;

class Driver;  // lower_graph.cpp: what stands behind an op (functions, variables, memo)

class Op {
 public:
  Op(Builder& builder, Driver& driver, const NodeDef& node, Operands inputs)
      : b(builder), node(node), driver_(driver), inputs_(std::move(inputs)) {}

  Builder& b;
  const NodeDef& node;

  // --- attributes. Attributes that begin with '_' (and "T"-like type attributes) are always allowed; any other that is
  // not listed is an error, because ignoring it could change results.
  void expect_attrs(std::initializer_list<const char*> names) const;
  bool has(const char* attr) const { return node.has(attr); }
  std::string text(const char* attr, std::string otherwise = {}) const;
  int64_t integer(const char* attr, int64_t otherwise = 0) const;
  double number(const char* attr, double otherwise = 0) const;
  bool flag(const char* attr, bool otherwise = false) const;
  std::vector<int64_t> int_list(const char* attr) const;
  DType dtype(const char* attr) const;

  // --- inputs (control inputs left out)
  size_t size() const { return inputs_.size(); }
  const Operand& operand(size_t i) const;
  Value input(size_t i);  // as a tensor (or list) of the graph, whatever its form
  Values inputs(size_t first = 0, std::optional<size_t> count = std::nullopt);
  bool is_constant(size_t i) const;      // its numbers are known now (a constant, or host integers that are)
  Array constant(size_t i) const;        // throws Error(Unsupported): "wants a constant"
  bool is_host(size_t i) const;          // host integers, or an integer constant of rank 0 or 1
  HostInts host(size_t i) const;         // as host integers; only if is_host(i)
  Ints ints(size_t i);                   // a shape argument in whatever form; a dynamic tensor of known length is read
  Int int_value(size_t i);               // a scalar, likewise
  std::string variable(size_t i) const;  // the variable behind a handle
  DType input_dtype(size_t i) const;
  int64_t rank(size_t i);

  // --- outputs, in the order of the op's signature
  void output(Operand o) { outputs_.push_back(std::move(o)); }
  void output(Value v) { outputs_.emplace_back(v); }
  void outputs(const Values& vs) {
    for (Value v : vs) outputs_.emplace_back(v);
  }
  const Operands& results() const { return outputs_; }

  // --- variables and functions
  Value read_variable(const std::string& name);  // its present value, assignments of this run included
  void assign_variable(const std::string& name, Value value);
  Operands call_function(const FuncRef& function, const Operands& arguments);
  Driver& driver() { return driver_; }

  [[noreturn]] void fail(ErrorKind kind, std::string message, std::string hint = {}) const {
    b.fail(kind, std::move(message), std::move(hint));
  }

 private:
  Driver& driver_;
  Operands inputs_, outputs_;
};

using OpFn = std::function<void(Op&)>;

// An op of the registry. Inside functions an endpoint is named "node:output:i"; ops with more than one output argument
// list their names in order (an argument that is a list is the only one, and needs no name).
struct OpEntry {
  OpFn fn;
  std::vector<std::string> outputs;
};

// A graph's value for an operand of any form; host integers and constants become tensors.
Value materialize(Builder& b, const Operand& operand);

}  // namespace midstream::tensorflow
