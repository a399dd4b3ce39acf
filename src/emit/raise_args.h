// Short forms for the constructor arguments of raised modules.
#pragma once

#include "emit/print_table.h"

namespace midstream::emit {

inline CtorArg positional(std::string name, Literal value) {
  CtorArg arg;
  arg.name = std::move(name);
  arg.literal = std::move(value);
  arg.positional = true;
  return arg;
}
inline CtorArg keyword(std::string name, Literal value) {
  CtorArg arg = positional(std::move(name), std::move(value));
  arg.positional = false;
  return arg;
}
// Not printed where it equals torch's default.
inline CtorArg keyword(std::string name, Literal value, Literal otherwise) {
  CtorArg arg = keyword(std::move(name), std::move(value));
  arg.has_default = true;
  arg.default_value = std::move(otherwise);
  return arg;
}
inline CtorArg text_argument(std::string name, std::string text) {
  CtorArg arg;
  arg.name = std::move(name);
  arg.text = std::move(text);
  return arg;
}
// 1 - 0.99 as one would write it: 0.01.
double complement(double momentum);

}  // namespace midstream::emit
