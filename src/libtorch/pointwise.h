// A graph of plain arithmetic on vectors, such as an optimizer's rule, compiled to loops over pieces that stay in the
// first cache: each number is read once and written once, and the bits are those of PyTorch's operators one after the
// other.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace midstream {

class PointwiseProgram {
 public:
  // Nothing where the graph has an operator, a shape or a dtype that is not for here: then it has to be executed.
  // The graph's inputs are vectors of one length, or single numbers (rank 0); its outputs are vectors.
  static std::optional<PointwiseProgram> compile(const Graph& graph);

  // `inputs` and `outputs` in the graph's order, n elements each (single numbers: one). An output may be an input's
  // memory.
  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int64_t n) const;

 private:
  enum class Op : uint8_t { Add, Subtract, Multiply, Divide, Maximum, Negate, Square, Root, Absolute };
  struct Operand {
    enum class Form : uint8_t { Input, Register, Number, InputNumber } form = Form::Number;
    size_t index = 0;
    double number = 0;
  };
  struct Step {
    Op op;
    Operand a, b;
    size_t target = 0;
  };
  class Compiler;
  template <class T>
  void run_as(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int64_t n) const;

  void run_here(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int64_t n) const;
  void run_wide(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int64_t n) const;

  DType dtype_ = DType::Float32;
  std::vector<Step> steps_;
  std::vector<Operand> outputs_;
  size_t registers_ = 0;
};

}  // namespace midstream
