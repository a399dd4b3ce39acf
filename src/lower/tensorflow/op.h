// What a TensorFlow op's lowering sees. A tensor of a TensorFlow graph is one of three things here: numbers known at
// build time (constants and what folds from them), host integers (shapes and arithmetic on them, scalar or vector), or a
// value of the graph. Lowerings ask for the form they need and get it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/builder.h"

namespace midstream::tensorflow {

class Op;       // declared in full by lower/tensorflow/op_context.h
class Operand;
using OpFn = std::function<void(Op&)>;

}  // namespace midstream::tensorflow
