// The one IR: operator calls in topological order, nested blocks for control flow, assignments for state. It knows
// neither TensorFlow's nor PyTorch's operators by name; what a call may be is the Dialect's business (dialect.h).
//
//   call    outputs = op(args)              op is a dispatcher name with overload, "aten::add.Tensor"
//   region  "if":    args {cond}; blocks {then, else}, without block arguments; outputs = what the taken block returns
//           "while": args {init: Value list}; blocks {cond -> [Bool], body -> next}; both have the carried values as
//                    block arguments; outputs = the carried values at the end
//           "call":  args {inputs: Value list}; blocks {body}: a scope that is entered once (checkpointing, naming)
//   assign  args {variable, value}: the variable's tensor becomes `value` after every read of this run
#pragma once

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/value.h"
#include "graph/variables.h"

namespace midstream {

// Where a node comes from; every error, trace and generated line points back here.
struct Origin {
  std::string path;  // layer path "encoder/block1/conv", or TensorFlow node name
  std::string op;    // "keras.Conv2D", "tf.MatMul"
  int call = 0;      // which call of a shared layer
  friend bool operator==(const Origin&, const Origin&) = default;
};
std::string to_string(const Origin& origin);  // "encoder/block1/conv, keras.Conv2D"

struct Node;

struct Block {
  std::vector<Value> args;
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<Value> results;
};

enum class NodeKind : uint8_t { Call, Region, Assign };

struct Node {
  NodeKind kind = NodeKind::Call;
  std::string op;  // dispatcher name; "if", "while", "call"; "assign"
  Args args;       // in the schema's order; arguments equal to the schema's default are left out
  std::vector<Value> outputs;
  // A call whose one result is Tensor[] and whose length was known: outputs are its elements.
  bool unpacks_list = false;
  std::vector<Block> blocks;
  int32_t origin = -1;  // index into Graph::origins

  const Arg* arg(std::string_view name) const;  // null when absent
};

enum class LeafKind : uint8_t { None, Input, Variable, Constant, Training };

struct ValueInfo {
  Type type;
  Samples samples;
  LeafKind leaf = LeafKind::None;  // None: defined by a node or as block argument
  int32_t index = -1;              // Input: position; Variable: index in Variables; Constant: index in constants
                                   // (a constant of Kind::Int, Float or Bool has a 0-d array)
  std::string name;                // a hint for printing ("x", a TF tensor's name); may be empty
};

struct Input {
  std::string name;
  Value value;
  bool text = false;  // strings: uint8[..., width], each filled up with zeros
};
using Output = Input;

// Scopes (nested models, blocks) that the source names: path -> what it is. Used to nest generated classes.
struct Scope {
  std::string path;  // "encoder" ; "" is the model itself
  std::string op;    // "keras.Functional"
};

class Graph {
 public:
  explicit Graph(std::shared_ptr<Variables> variables);

  std::shared_ptr<Variables> variables;
  uint64_t serial;  // unique in the process; a clone gets its own (see Variable::layout_chooser)
  // The two sizes that stand for an unknown dimension while building; {6, 10} for axis 0. A model that only takes
  // smaller inputs (positional embeddings of 128 rows) can be built again with other examples.
  std::array<int64_t, 2> sample_sizes{512, 768};
  std::string name;
  std::vector<Input> inputs;
  std::vector<Output> outputs;  // outputs[i].value == body.results[i]
  Block body;
  std::vector<ValueInfo> values;
  std::vector<Array> constants;
  std::vector<Origin> origins;
  std::vector<Scope> scopes;
  Value training;  // Kind::Bool leaf; null if nothing asked for it

  const Type& type(Value v) const { return values[static_cast<size_t>(v.id)].type; }
  const ValueInfo& info(Value v) const { return values[static_cast<size_t>(v.id)]; }
  ValueInfo& info(Value v) { return values[static_cast<size_t>(v.id)]; }
  Value add_value(ValueInfo info);
  const Origin& origin(const Node& node) const;

  std::unique_ptr<Graph> clone() const;
};

// Both examples of a value of this type that nothing else is known about.
Samples default_samples(const Graph& graph, const Type& type);

// Calls f on every value among the node's own arguments (not those used inside its blocks).
template <class F>
void for_each_operand(const Args& args, F&& f) {
  for (const NamedArg& a : args) {
    if (auto* v = std::get_if<Value>(&a.value.variant())) {
      if (*v) f(*v);
    } else if (auto* ints = std::get_if<std::vector<IntArg>>(&a.value.variant())) {
      for (const IntArg& i : *ints)
        if (auto* iv = std::get_if<Value>(&i)) f(*iv);
    } else if (auto* vs = std::get_if<std::vector<Value>>(&a.value.variant())) {
      for (Value x : *vs)
        if (x) f(x);
    }
  }
}
// The same, with the chance to replace the value.
void replace_operands(Args& args, const std::unordered_map<int32_t, Value>& replacements);
// Replaces every use of the keys, in all blocks and results.
void replace_uses(Graph& graph, const std::unordered_map<int32_t, Value>& replacements);

// Checks the invariants (every value defined once and before use, types of region results, assigns of variables only,
// arguments fit the schema): throws Error(Internal). Run after each pass in tests.
class Dialect;
void verify(const Graph& graph, const Dialect* dialect = nullptr);

// Text that parse_graph reads back; see docs/graph.md.
std::string print(const Graph& graph, const Dialect* dialect = nullptr);
std::unique_ptr<Graph> parse_graph(const std::string& text, const Dialect& dialect);

}  // namespace midstream
