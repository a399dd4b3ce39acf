// Order and nesting: the steps of a body as one reads them, and a class for each nested model and each layer with
// parts.
#pragma once

#include "emit/structure.h"

namespace midstream::emit {

// What the outputs need and what has effects, each branch in one piece: the operands of a step stand before it in the
// order in which it names them.
std::vector<Step> scheduled(std::vector<Step> steps, const std::vector<Value>& outputs);

// Makes instances of classes out of the model's steps, by the paths of their origins.
void nest(Program& program);

}  // namespace midstream::emit
