// Stretches of steps as code: what goes in and out, whether two of them are the same code up to names and numbers, and
// classes made of them.
#pragma once

#include <optional>

#include "emit/code.h"

namespace midstream::emit {

// Where a body uses its values and modules.
struct BodyIndex {
  BodyIndex(const Program& program, const std::vector<Step>& body, const std::vector<Value>& outputs);
  std::unordered_map<int32_t, size_t> defined;            // value -> step
  std::unordered_map<int32_t, std::vector<size_t>> uses;  // value -> steps; body.size() for the outputs
  std::map<int, std::vector<size_t>> called;              // module -> steps that call it, nested ones included
  std::map<int, std::vector<size_t>> read;                // module -> steps that use one of its tensors
};

// Some steps (indices into a body, rising) seen from outside.
struct Window {
  std::vector<Value> inputs, outputs;  // in order of first use, of definition
  std::vector<int> modules;            // called or owned, in order of first appearance
  bool shares = false;                 // a module of it is called outside too
};
Window window(const Program& program, const std::vector<Step>& body, const BodyIndex& index,
              const std::vector<size_t>& steps);

// Is `b` the code of `a`? On success the values of b that correspond to a's inputs and outputs.
struct Match {
  std::vector<Value> inputs, outputs;
};
std::optional<Match> same_code(const Program& program, const std::vector<const Step*>& a, const Window& wa,
                               const std::vector<const Step*>& b, const Window& wb);

// A text that is equal for steps that could be the same code.
std::string signature(const Program& program, const Step& step);

// The module that has these steps as its code: of a class that has the same code, or of a new class `fresh`. The same
// module again if it has the same parts (a shared layer). Returns the step that calls it.
Step make_instance(Program& program, std::vector<Step> steps, const Window& window, const Class& fresh);

// The literals of a module (an instance: of its body) in an order that all instances of a class share.
struct Slot {
  Piece* piece = nullptr;
  CtorArg* arg = nullptr;
  int module = -1;  // an instance inside, and the number of its slot
  size_t slot = 0;
  int owner = -1;  // the module whose argument it is, directly or inside
  std::string name;
  Literal value;
};
std::vector<Slot> slots(Program& program, int module);

// Modules that are attributes of an instance, in order of first appearance.
std::vector<int> attributes_of(const Program& program, const std::vector<Step>& body, const std::vector<Value>& inputs);

}  // namespace midstream::emit
