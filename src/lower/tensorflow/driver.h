// Walks a TensorFlow graph from what is wanted to what it needs, and lowers every node once. Nodes of a branch or loop
// body are lowered inside it: each function call, branch and frame has its own Frame of lowered nodes on top of the
// enclosing ones.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "frontend/tensorflow/source.h"
#include "lower/registry.h"
#include "lower/tensorflow/op.h"

namespace midstream::tensorflow {

// The nodes of one graph or function, by name.
struct Body {
  std::string name;
  std::unordered_map<std::string, const NodeDef*> nodes;
  std::unordered_map<std::string, size_t> arguments;  // functions: argument name -> position
  const FunctionDef* function = nullptr;
  std::unordered_map<std::string, bool> matters;  // memo of Driver::matters
};

// A TF1 loop: the nodes that make one carried value of a frame.
struct LoopVariable {
  const NodeDef* merge = nullptr;
  std::string enter, next;         // endpoints: the initial value, and the value of the next iteration
  std::string predicate;           // endpoint
  std::vector<std::string> exits;  // nodes
};
struct LoopFrame {
  std::vector<LoopVariable> variables;
  std::vector<std::string> enters;  // every Enter node, captured values included
};

class Driver {
 public:
  Driver(Builder& builder, const File& file, const std::map<std::string, std::string>& variable_of_node);

  Builder& builder() { return b_; }
  const File& file() const { return file_; }

  // Binds an endpoint of the main graph before anything is lowered (inputs that are fed).
  void bind(const std::string& tensor, Operand operand);
  Operand evaluate(const std::string& tensor);  // of the present body
  // Output `index` of an evaluated node; undefined if it has no such output.
  Operand output(const std::string& tensor, size_t index) const;
  // Lowers a function's body in place. `arguments` in its signature's order.
  Operands call_function(const std::string& name, const Operands& arguments);

  // Every op without lowering in what `tensors` need: op -> places. Function bodies included.
  std::map<std::string, std::vector<std::string>> unsupported(const std::vector<std::string>& tensors);
  std::map<std::string, std::vector<std::string>> unsupported_function(const std::string& name);

  // --- variables: the value that a read at this point of the program sees
  Value read_variable(const std::string& name);
  void assign_variable(const std::string& name, Value value);
  void finish();  // appends the assignments

  // --- regions, used by the lowerings of control flow. Variables that a branch assigns come out of it.
  Operands cond(Value predicate, const std::function<Operands()>& then_fn, const std::function<Operands()>& else_fn);
  // `invariant`: what the body hands on as it is, and so keeps its form (a shape stays host integers).
  Operands while_loop(const Operands& init, const std::function<Value(const Operands&)>& cond_fn,
                      const std::function<Operands(const Operands&)>& body_fn, const std::vector<bool>& invariant = {});
  // Of a loop's body: which arguments come out of it unchanged.
  std::vector<bool> unchanged(const std::string& function);
  // Runs `fn` in a frame of its own: nodes that it lowers are forgotten afterwards (they belong to a branch).
  Operands in_branch(const std::function<Operands()>& fn);
  Value predicate(const Operand& o);  // as a host bool

 private:
  struct Frame {
    Body* body = nullptr;
    Frame* outer = nullptr;  // same body: what was lowered around this branch
    std::unordered_map<std::string, Operands> lowered;
    const Operands* arguments = nullptr;
  };
  class Enter {
   public:
    Enter(Driver& d, Body& body, Frame* outer) : d_(d), saved_(d.frame_), frame_{&body, outer, {}, nullptr} {
      if (outer) frame_.arguments = outer->arguments;
      d.frame_ = &frame_;
    }
    ~Enter() { d_.frame_ = saved_; }
    Frame& frame() { return frame_; }

   private:
    Driver& d_;
    Frame* saved_;
    Frame frame_;
  };

  Body& body(const FunctionDef* function);
  LoopFrame loop_frame(const std::string& name);
  using Guards = std::map<std::string, std::set<int>>;  // predicate endpoint -> sides
  const Guards& guards(const Endpoint& e);
  const FunctionDef& function(const std::string& name);
  const Operands* find(const std::string& node) const;
  Operand get(const Endpoint& e) const;
  bool ready(const Endpoint& e) const;
  void lower_all(const std::string& node);  // with everything it needs, iteratively
  void lower_node(const NodeDef& node);
  Operands inputs_of(const NodeDef& node);
  Operand weight(const NodeDef& node, const std::string& variable);
  // --- TensorFlow 1's control flow, raised to regions (control_v1.cpp)
  static bool is_merge(const NodeDef& node);
  static bool is_exit(const NodeDef& node);
  static bool is_control(const NodeDef& node);
  // Whether a node reached by a control edge does anything here (assigns a variable, or leads to what does).
  bool matters(const std::string& node);
  bool orders(const std::string& node);
  Operands merge(const NodeDef& node);
  Operand exit(const NodeDef& node);
  size_t output_index(const NodeDef& node, const Endpoint& e) const;
  void collect_unsupported(const Body& body, std::vector<std::string> open,
                           std::map<std::string, std::vector<std::string>>& out, std::set<std::string>& functions);

  Builder& b_;
  const File& file_;
  const std::map<std::string, std::string>& variable_of_node_;
  std::unordered_map<const FunctionDef*, Body> bodies_;
  std::unordered_map<std::string, const FunctionDef*> functions_;
  Frame* frame_ = nullptr;
  Frame top_;
  std::map<std::string, Value> variables_;  // assigned so far
  std::map<std::pair<const Body*, std::string>, Guards> guards_;
  int depth_ = 0, loops_ = 0;
};

}  // namespace midstream::tensorflow
