// Builder: appends checked calls to a graph. Its vocabulary is the dispatcher's (`call("aten::conv2d", {...})`);
// keywords, types and shapes are checked here, with the source's layer or node in the message, before PyTorch sees
// them.
#pragma once

#include <functional>
#include <initializer_list>

#include "base/error.h"
#include "graph/dialect.h"
#include "graph/graph.h"

namespace midstream {

class Builder;

// A host integer: a constant, or a value of the graph. Arithmetic folds constants and appends calls otherwise.
class Int {
 public:
  Int(int64_t constant = 0) : constant_(constant) {}
  Int(int constant) : constant_(constant) {}
  Int(Builder& b, Value v) : builder_(&b), value_(v) {}

  bool is_constant() const { return builder_ == nullptr; }
  int64_t constant() const;  // throws Error(Internal) if it is not one
  Value value() const { return value_; }
  Builder* builder() const { return builder_; }
  IntArg arg() const { return is_constant() ? IntArg(constant_) : IntArg(value_); }

 private:
  int64_t constant_ = 0;
  Builder* builder_ = nullptr;
  Value value_;
};
Int operator+(const Int& a, const Int& b);
Int operator-(const Int& a, const Int& b);
Int operator*(const Int& a, const Int& b);
Int floor_div(const Int& a, const Int& b);  // Python's //
Int mod(const Int& a, const Int& b);        // Python's %
Int ceil_div(const Int& a, const Int& b);
Int max(const Int& a, const Int& b);
Int min(const Int& a, const Int& b);
using Ints = std::vector<Int>;
using Values = std::vector<Value>;

class Builder {
 public:
  Builder(Graph& graph, const Dialect& dialect) : graph_(graph), dialect_(dialect), block_(&graph.body) {}

  Graph& graph() { return graph_; }
  const Dialect& dialect() const { return dialect_; }
  const Type& type(Value v) const { return graph_.type(v); }
  DType dtype(Value v) const { return graph_.type(v).dtype; }
  const Dims& dims(Value v) const { return graph_.type(v).dims; }  // kUnknown where dynamic
  int64_t rank(Value v) const { return static_cast<int64_t>(graph_.type(v).dims.size()); }

  // --- leaves
  Value input(std::string name, Type type);
  // The variable's value in the *source's* layout (creates the leaf once per graph).
  Value variable(const std::string& name);
  // The variable's value in the layout in which it is stored (what optimizers see).
  Value stored(const std::string& name);
  // `v` re-arranged by `chain`. If v is a variable that nobody has asked for in another layout, the variable is stored
  // that way from now on and nothing happens at run time; otherwise the chain is appended as view operations.
  Value stored_as(Value v, const Transforms& chain);
  Value constant(Array array, std::string name = {});
  Value constant(double value, DType dtype);  // 0-d tensor
  Value training();                           // Kind::Bool
  void outputs(std::vector<Output> outputs);

  // --- calls
  // One result (or the first is wanted). Values of Kind::Int may stand where the schema says int, SymInt or Scalar.
  Value call(const std::string& op, Args args);
  Values call_all(const std::string& op, Args args);
  Int call_int(const std::string& op, Args args);

  // --- control flow. The functions run at once, against this builder.
  Values cond(Value pred, const std::function<Values()>& then_fn, const std::function<Values()>& else_fn);
  // Carried dims that the body changes become unknown (the body is then built again); what the body returns unchanged
  // is not carried: it is handed the initial value itself.
  Values while_loop(Values init, const std::function<Value(const Values&)>& cond_fn,
                    const std::function<Values(const Values&)>& body_fn);
  // `variable` is a value that variable() or stored() gave; the new value has its layout.
  void assign(Value variable, Value new_value);

  // --- sizes
  Int size(Value v, int64_t dim);  // a constant where known
  Ints sizes(Value v);
  Int as_int(Value host_or_0d_tensor);
  Value value_of(const Int& i);  // as a value of Kind::Int (to carry it through a loop)
  Value host_bool(bool b);       // a constant of Kind::Bool
  // 1-d (or, for one Int, 0-d) int64 tensor of host integers.
  Value tensor_of(const Ints& ints);
  Value tensor_of(const Int& i);

  // --- sugar for the calls that every lowering needs; all are one aten call (dtype: none is converted silently)
  Value cast(Value v, DType dtype);                   // no call when already so
  Value permute(Value v, std::vector<int64_t> perm);  // composes to nothing when the identity
  Value reshape(Value v, const Ints& shape);
  Value expand(Value v, const Ints& shape);
  Value unsqueeze(Value v, int64_t dim);
  Value squeeze(Value v, int64_t dim);
  Value slice(Value v, int64_t dim, const Int& start, const Int& end, int64_t step = 1);
  Value select(Value v, int64_t dim, const Int& index);
  Value concat(const Values& vs, int64_t dim);
  Value stack(const Values& vs, int64_t dim);
  Value flip(Value v, std::vector<int64_t> dims);
  Value pad(Value v, const Ints& last_dim_first, double value = 0);  // F.pad order
  Value unary(const std::string& op, Value v) { return call(op, {{"self", v}}); }
  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value div(Value a, Value b);
  Value add(Value a, double b);
  Value sub(Value a, double b);
  Value mul(Value a, double b);
  Value div(Value a, double b);
  Value rsub(double a, Value b);  // a - b
  Value neg(Value v);
  Value exp(Value v);
  Value log(Value v);
  Value sqrt(Value v);
  Value square(Value v);  // v * v, as TensorFlow
  Value abs(Value v);
  Value clamp(Value v, std::optional<double> lo, std::optional<double> hi);
  Value matmul(Value a, Value b);
  Value sum(Value v, std::vector<int64_t> dims, bool keepdim = false);  // empty dims: all
  Value mean(Value v, std::vector<int64_t> dims, bool keepdim = false);
  Value amax(Value v, std::vector<int64_t> dims, bool keepdim = false);
  Value where(Value cond, Value a, Value b);
  Value compare(const std::string& how, Value a, Value b);  // "eq" "ne" "lt" "le" "gt" "ge"
  Value compare(const std::string& how, Value a, double b);
  Value logical_and(Value a, Value b);
  Value logical_or(Value a, Value b);
  Value logical_not(Value a);
  Value zeros_like(Value v);
  Value ones_like(Value v);
  Value full(const Ints& shape, double value, DType dtype);

  // --- where we are: nested; every node appended inside carries the innermost origin.
  class At {
   public:
    At(Builder& b, Origin origin);
    ~At();
    At(const At&) = delete;

   private:
    Builder& b_;
    int32_t saved_;
  };
  // An Error at the present origin.
  [[noreturn]] void fail(ErrorKind kind, std::string message, std::string hint = {}) const;
  void scope(std::string path, std::string op);  // records a Scope

 private:
  Value leaf(const std::string& name);  // the variable's leaf, in the stored layout
  Value source_view(const std::string& name, Value leaf);
  Value choose_layout(Variable& variable, Value raw, const Transforms& chain);
  Value constant_as(Value v, const Transforms& chain);
  Value pointwise_stored_as(Value v, const Transforms& chain);
  Value views(Value v, const Transforms& chain);
  Values while_built(Node& node, const Values& init, const std::vector<ValueInfo>& infos,
                     const std::vector<bool>& carried, const std::function<Value(const Values&)>& cond_fn,
                     const std::function<Values(const Values&)>& body_fn);
  Value binary(const char* op, Value a, Value b);
  Value binary(const char* op, Value a, double b);
  Value reduce(const char* all, const char* some, Value v, std::vector<int64_t> dims, bool keepdim);

  friend class Int;
  friend class InBlock;
  Graph& graph_;
  const Dialect& dialect_;
  Block* block_;
  int32_t origin_ = -1;
  std::unordered_map<std::string, Value> variables_;  // in source layout
  std::unordered_map<std::string, Value> stored_;
};

}  // namespace midstream
