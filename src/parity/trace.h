// A model beside what TensorFlow computed for it: outputs and gradients of one mode.
//
// A trace is an .npz file: x0, x1, ... the inputs; m0:y0, m0:y1, ... the outputs in inference mode, m0:c0, ... what
// each output is multiplied with before the sum is differentiated, m0:g0, ... the gradients of the trainable variables
// in Keras' order; m1:... the same in training mode.
#pragma once

#include <string>
#include <vector>

#include "formats/npz.h"
#include "run/program.h"

namespace midstream::parity {

struct Row {
  std::string what, mode;
  double error;  // largest difference, relative to the largest element
  double bound;  // what rounding alone may make of it
};

// Appends one row for each output and each trainable variable. In training mode `program`'s state changes.
void compare(Program& program, const std::vector<std::string>& trainable, const NpzFile& trace, bool training,
             std::vector<Row>& rows);

}  // namespace midstream::parity
