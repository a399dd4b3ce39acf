// What a call is made of, shared by the Builder, the parser of the text IR, the verifier and the passes:
//   bind_call      keywords -> the schema's order, checked and coerced, defaults left out
//   infer_outputs  the types and samples of its results
//   append_call    both, and the node
// All throw Error with `where` (an Origin as text) in front.
#pragma once

#include "graph/dialect.h"
#include "graph/graph.h"

namespace midstream {

struct BoundCall {
  const Schema* schema = nullptr;
  Args args;
  std::array<std::vector<SampleArg>, 2> samples;  // one per schema argument, defaults filled in
};
BoundCall bind_call(const Graph& graph, const Dialect& dialect, const std::string& op, const Args& args,
                    const std::string& where);

struct CallOutputs {
  std::vector<ValueInfo> infos;
  bool is_list = false;
};
CallOutputs infer_outputs(const Graph& graph, const Dialect& dialect, const BoundCall& call, const std::string& where);

// A node with new values for its outputs; it is in no block yet.
std::unique_ptr<Node> make_call(Graph& graph, const Dialect& dialect, const std::string& op, const Args& args,
                                int32_t origin);
std::vector<Value> append_call(Graph& graph, Block& block, const Dialect& dialect, const std::string& op,
                               const Args& args, int32_t origin);

// "f32[2, ?]": what a schema's argument holds, in our words, for messages.
std::string describe(const Graph& graph, const Arg& arg);

// --- joining what two ways of computing a value say about it (merge.cpp)
// The value that either branch of an `if` may give. Throws Error(Mismatch) if no type covers both.
ValueInfo merge_branches(const ValueInfo& then_info, const ValueInfo& else_info, const std::string& where);
// A value that a loop carries: `init` on entry, `next` after one round of the body (which was built for `carried`).
// Returns the type to build the body for: `carried` itself when it covers both.
ValueInfo merge_carried(const ValueInfo& carried, const ValueInfo& init, const ValueInfo& next,
                        const std::string& where);

}  // namespace midstream
