// The statements of a forward.
#pragma once

#include "emit/code.h"

namespace midstream::emit {

struct Forward {
  std::vector<std::string> parameters;  // names, in the order of the instance's inputs
  std::vector<std::string> lines;       // at the indentation of a method's body
};
Forward print_forward(const Program& program, const Class& cls, const std::vector<std::string>& input_names);

}  // namespace midstream::emit
