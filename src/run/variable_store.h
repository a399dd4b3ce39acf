// The tensors behind the variables of a program, by name. One store is shared by all graphs of a program, by the
// optimizer, and by the PyTorch module in Python: a parameter is the same tensor everywhere.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "graph/variables.h"

namespace midstream {

class VariableStore {
 public:
  explicit VariableStore(std::shared_ptr<Variables> variables) : variables_(std::move(variables)) {}

  const std::shared_ptr<Variables>& variables() const { return variables_; }
  // The tensor of a variable in its stored layout; made from Variable::initial at the first request (zero-copy over the
  // file's bytes where no transform moves them; copy-on-write mapping). Trainable ones require grad.
  at::Tensor& tensor(size_t index);
  at::Tensor& tensor(const std::string& name) { return tensor(variables_->index_of(name)); }
  // Moves all tensors, and those made later.
  void to(const at::Device& device);
  // Converts all floating variables, in the table too.
  void to(DType dtype);
  at::Device device() const;
  // Copies of the table and of every tensor, on `device` or where they are.
  std::shared_ptr<VariableStore> clone(std::optional<at::Device> device = std::nullopt);

 private:
  std::shared_ptr<Variables> variables_;
  std::deque<at::Tensor> tensors_;
  std::optional<at::Device> device_;
  std::mutex mutex_;
};

// `tensor` in the stored layout -> the source layout, contiguous on the CPU.
at::Tensor to_source(const Variable& variable, const at::Tensor& tensor);
// The reverse, for tensors that come from the file or from TensorFlow.
at::Tensor from_source(const Variable& variable, const at::Tensor& tensor);

}  // namespace midstream
