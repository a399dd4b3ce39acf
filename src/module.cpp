#include "midstream/module.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "base/error.h"
#include "libtorch/convert.h"
#include "midstream/midstream.h"
#include "run/retype.h"

namespace midstream {
namespace {

std::unique_ptr<Program> program_of(Run& run) {
  return std::make_unique<Program>(run.forward_graph().clone(), run.shared_variables());
}

std::vector<std::string> names(const std::vector<Input>& values) {
  std::vector<std::string> out;
  for (const Input& v : values) out.push_back(v.name);
  return out;
}

// torch::nn::Module takes no dots in names: what stands before one becomes a child module, so that the full name is the
// source's again.
torch::nn::Module& owner_of(torch::nn::Module& module, std::string& name) {
  torch::nn::Module* owner = &module;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.')) {
    const std::string first = name.substr(0, dot);
    name = name.substr(dot + 1);
    auto children = owner->named_children();
    auto* child = children.find(first);
    owner = child ? child->get() : owner->register_module(first, std::make_shared<torch::nn::Module>(first)).get();
  }
  return *owner;
}

}  // namespace

Module::Module(std::unique_ptr<Program> program) : torch::nn::Module("midstream"), program_(std::move(program)) {
  register_variables();
}

Module::Module(Run& run) : torch::nn::Module("midstream"), program_(program_of(run)), of_a_run_(true) {
  register_variables();
}

void Module::register_variables() {
  const auto& store = program_->variables();
  for (size_t i = 0; i < store->variables()->size(); ++i) {
    const Variable& v = store->variables()->at(i);
    if (v.role != Role::Weight && v.role != Role::Seed) continue;
    std::string name = v.name;
    torch::nn::Module& owner = owner_of(*this, name);
    if (v.trainable) {
      owner.register_parameter(name, store->tensor(i), true);
    } else {
      owner.register_buffer(name, store->tensor(i));
    }
  }
}

std::vector<torch::Tensor> Module::forward(const std::vector<torch::Tensor>& inputs) {
  return program_->run(inputs, is_training());
}

torch::Tensor Module::forward(const torch::Tensor& input) {
  const Graph& graph = program_->forward();
  if (graph.inputs.size() != 1 || graph.outputs.size() != 1)
    throw Error(ErrorKind::Usage, graph.name,
                fmt::format("the model has {} inputs and {} outputs.", graph.inputs.size(), graph.outputs.size()),
                "Call forward with a vector of tensors.");
  return program_->run({input}, is_training())[0];
}

std::vector<std::string> Module::input_names() const { return names(program_->forward().inputs); }
std::vector<std::string> Module::output_names() const { return names(program_->forward().outputs); }

std::shared_ptr<torch::nn::Module> Module::clone(const std::optional<torch::Device>& device) const {
  auto store = program_->variables()->clone(device);
  auto graph = program_->forward().clone();
  graph->variables = store->variables();
  auto copy = std::make_shared<Module>(std::make_unique<Program>(std::move(graph), std::move(store)));
  copy->train(is_training());
  return copy;
}

void Module::refuse_to_move() const {
  if (of_a_run_)
    throw Error(ErrorKind::Usage, program_->forward().name, "is the model of a run and stays where the run is.",
                "Resume the run with RunOptions::device, or move a clone of the model.");
}

// The executors hold constants and operators for one device and one dtype: they are planned anew.
void Module::to(torch::Device device, bool) {
  if (device == program_->variables()->device()) return;
  refuse_to_move();
  program_->variables()->to(device);
  program_ = std::make_unique<Program>(program_->forward().clone(), program_->variables());
}

void Module::to(torch::Dtype dtype, bool) {
  const DType to = from_scalar_type(dtype);
  if (has_floats_of_only(program_->forward(), to)) return;
  refuse_to_move();
  auto graph = with_floats_of(program_->forward(), to);
  program_->variables()->to(to);
  program_ = std::make_unique<Program>(std::move(graph), program_->variables());
}

void Module::to(torch::Device device, torch::Dtype dtype, bool) {
  to(device);
  to(dtype);
}

void Module::pretty_print(std::ostream& stream) const {
  stream << "Module(" << fmt::format("{}", fmt::join(input_names(), ", ")) << " -> "
         << fmt::format("{}", fmt::join(output_names(), ", ")) << ")";
}

std::shared_ptr<Module> load(const std::string& path, const OpenOptions& options) {
  auto model = std::make_shared<Module>(open_program(path, options));
  model->eval();
  return model;
}

}  // namespace midstream
