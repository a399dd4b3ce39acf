// A model from a TensorFlow or Keras file as a torch::nn::Module. Its parameters and buffers bear the source's names
// ("conv_1/kernel") and are in PyTorch's layouts; they are the tensors that midstream's own loop trains, so an
// optimizer of torch::optim, torch::save and a Run can work on one model in turn. train() and eval() choose the mode of
// the graph.
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "run/program.h"

namespace midstream {

class Run;

class Module : public torch::nn::Module {
 public:
  explicit Module(std::unique_ptr<Program> program);
  // The model of a run, in training mode: the run's very tensors. It moves to no other device and dtype than the run's.
  explicit Module(Run& run);

  // For models with one input and one output; throws Error(Usage) for others. As in Keras, images are [batch, height,
  // width, channels]. Several threads may call it at once; in training mode only where the graph writes no state.
  torch::Tensor forward(const torch::Tensor& input);
  std::vector<torch::Tensor> forward(const std::vector<torch::Tensor>& inputs);
  torch::Tensor operator()(const torch::Tensor& input) { return forward(input); }
  std::vector<torch::Tensor> operator()(const std::vector<torch::Tensor>& inputs) { return forward(inputs); }

  std::vector<std::string> input_names() const, output_names() const;
  const Program& program() const { return *program_; }

  // A model of its own, with copies of all tensors.
  std::shared_ptr<torch::nn::Module> clone(const std::optional<torch::Device>& device = std::nullopt) const override;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  // All floating tensors, and the arithmetic of the graph with them.
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Device device, bool non_blocking = false) override;
  void pretty_print(std::ostream& stream) const override;

 private:
  void register_variables();
  void refuse_to_move() const;

  std::unique_ptr<Program> program_;
  bool of_a_run_ = false;
};

}  // namespace midstream
