#include "run/program.h"

namespace midstream {

const Executor& Program::executor(bool training) {
  std::lock_guard lock(mutex_);
  auto& slot = executors_[training ? 1 : 0];
  if (!slot) slot = std::make_unique<Executor>(*forward_, variables_, training);
  return *slot;
}

std::vector<at::Tensor> Program::run(const std::vector<at::Tensor>& inputs, bool training) {
  return executor(training).run(inputs);
}

}  // namespace midstream
