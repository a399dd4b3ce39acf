// midstream::Module on the digits model: against what TensorFlow recorded (examples/digits/truth.json), and against
// Run, which tests/train compares with Keras.
#include <gtest/gtest.h>
#include <midstream/midstream.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/optim/adam.h>
#include <torch/serialize.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace midstream {
namespace {

const std::string kDigits = "../examples/digits/";
const std::string kFile = kDigits + "digits.keras";

// float32: a gradient of this model is a sum over at most 32 images of 64 places.
constexpr double kFloatSum = 32 * 64 * 0x1p-24;

double relative(const torch::Tensor& a, const torch::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

nlohmann::json truth() { return nlohmann::json::parse(std::ifstream(kDigits + "truth.json")); }

torch::Tensor loss_of(const torch::Tensor& probabilities, const torch::Tensor& digits) {
  return -probabilities.gather(1, digits.to(torch::kLong).unsqueeze(1)).log().mean();
}

Batch test_data() {
  const data::Npz data(kDigits + "test.npz");
  return data.slice(0, data.samples());
}

Batch first_batch() { return data::Npz(kDigits + "train.npz").slice(0, 32); }

TEST(Module, PredictsWhatTensorFlowRecorded) {
  torch::NoGradGuard no_grad;
  auto model = load(kFile);
  EXPECT_FALSE(model->is_training());
  const Batch test = test_data();
  const torch::Tensor out = (*model)(test.x[0]);
  const auto before = truth()["before"];
  // The longest sums of the forward pass have 32 * 9 + 128 + 32 terms; the mean is over 360 images.
  EXPECT_NEAR(loss_of(out, test.y[0]).item<double>(), before["val_loss"].back().get<double>(), 808 * 0x1p-24);
  const torch::Tensor right = out.argmax(1).eq(test.y[0]);
  EXPECT_FLOAT_EQ(right.to(torch::kFloat).mean().item<float>(), before["val_accuracy"].back().get<float>());
}

TEST(Module, BearsTheSourcesNames) {
  auto model = load(kFile);
  std::vector<std::string> parameters, buffers;
  for (const auto& p : model->named_parameters()) parameters.push_back(p.key());
  for (const auto& b : model->named_buffers()) buffers.push_back(b.key());
  EXPECT_EQ(parameters, (std::vector<std::string>{"conv_1/kernel", "norm_1/gamma", "norm_1/beta", "conv_2/kernel",
                                                  "conv_2/bias", "norm_2/gamma", "norm_2/beta", "hidden/kernel",
                                                  "hidden/bias", "digit/kernel", "digit/bias"}));
  EXPECT_EQ(buffers, (std::vector<std::string>{"norm_1/moving_mean", "norm_1/moving_variance", "norm_2/moving_mean",
                                               "norm_2/moving_variance"}));
  EXPECT_EQ(model->input_names(), std::vector<std::string>{"image"});
  EXPECT_EQ(model->output_names(), std::vector<std::string>{"digit"});
}

TEST(Module, HoldsTheVeryTensorsOfTheRun) {
  midstream::Run run = resume(kFile);
  auto model = std::make_shared<Module>(run);
  const Batch batch = first_batch();
  for (int64_t step = 0; step < 3; ++step) {
    run.train_step(batch);
    for (const auto& p : model->named_parameters()) {
      EXPECT_TRUE(p->is_same(run.variables().tensor(p.key()))) << p.key();
    }
    for (const auto& b : model->named_buffers()) {
      EXPECT_TRUE(b->is_same(run.variables().tensor(b.key()))) << b.key();
    }
  }
  torch::NoGradGuard no_grad;
  model->eval();
  EXPECT_TRUE(model->forward(batch.x[0]).equal(run.predict(batch.x)[0]));
  EXPECT_THROW(model->to(torch::kDouble), Error);
}

// The run's optimizer keeps small variables in one buffer; a module that is loaded or moved takes them out of it.
TEST(Module, ARunGoesOnWithTensorsThatWereLoaded) {
  midstream::Run run = resume(kFile), other = resume(kFile);
  auto model = std::make_shared<Module>(run);
  const Batch batch = first_batch();
  run.train_step(batch);
  std::stringstream state;
  torch::save(model, state);
  torch::load(model, state);
  run.train_step(batch);
  for (int64_t step = 0; step < 2; ++step) other.train_step(batch);
  for (const auto& p : model->named_parameters()) EXPECT_TRUE(p->equal(other.variables().tensor(p.key()))) << p.key();
}

TEST(Module, TrainingModeLossAndGradientsAreTheRuns) {
  midstream::Run run = resume(kFile);
  auto model = load(kFile);
  model->train();
  const Batch batch = first_batch();
  const midstream::Run::Gradients wanted = run.gradients(batch);
  const torch::Tensor loss = loss_of(model->forward(batch.x[0]), batch.y[0]);
  EXPECT_NEAR(loss.item<double>(), truth()["first_step_losses"][0].get<double>(), 808 * 0x1p-24);
  loss.backward();
  const auto parameters = model->named_parameters();
  ASSERT_EQ(parameters.size(), wanted.gradients.size());
  for (const auto& [name, gradient] : wanted.gradients)
    EXPECT_LT(relative(parameters[name].grad(), gradient), kFloatSum) << name;
  // BatchNorm's statistics moved as the run's did, and not in eval mode.
  const torch::Tensor mean = model->named_buffers()["norm_1/moving_mean"];
  EXPECT_TRUE(mean.equal(run.variables().tensor("norm_1/moving_mean")));
  const torch::Tensor kept = mean.clone();
  model->eval();
  model->forward(batch.x[0]);
  EXPECT_TRUE(mean.equal(kept));
}

TEST(Module, TrainsWithTorchOptim) {
  auto model = load(kFile);
  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(1e-3));
  const Batch batch = first_batch();
  model->train();
  std::vector<double> losses;
  for (int64_t step = 0; step < 10; ++step) {
    optimizer.zero_grad();
    torch::Tensor loss = loss_of(model->forward(batch.x[0]), batch.y[0]);
    loss.backward();
    optimizer.step();
    losses.push_back(loss.item<double>());
  }
  EXPECT_LT(losses.back(), losses.front() / 2);
}

TEST(Module, ACloneIsAnother) {
  torch::NoGradGuard no_grad;
  auto model = load(kFile);
  auto copy = std::dynamic_pointer_cast<Module>(model->clone());
  ASSERT_TRUE(copy);
  EXPECT_FALSE(copy->is_training());
  const Batch batch = first_batch();
  const torch::Tensor before = model->forward(batch.x[0]);
  EXPECT_TRUE(copy->forward(batch.x[0]).equal(before));
  const auto mine = model->named_parameters(), its = copy->named_parameters();
  ASSERT_EQ(mine.keys(), its.keys());
  for (const std::string& name : mine.keys()) {
    EXPECT_FALSE(mine[name].is_alias_of(its[name])) << name;
    EXPECT_TRUE(its[name].requires_grad()) << name;
    EXPECT_EQ(mine[name].strides(), its[name].strides()) << name;
    its[name].zero_();
  }
  for (auto& buffer : copy->buffers()) buffer.fill_(3);
  EXPECT_TRUE(model->forward(batch.x[0]).equal(before));
  EXPECT_FALSE(copy->forward(batch.x[0]).equal(before));
}

TEST(Module, StateIsSavedAndLoaded) {
  torch::NoGradGuard no_grad;
  auto model = load(kFile), other = load(kFile);
  const Batch batch = first_batch();
  const torch::Tensor before = model->forward(batch.x[0]);
  std::stringstream state;
  torch::save(model, state);
  for (auto& parameter : other->parameters()) parameter.fill_(0.5);
  for (auto& buffer : other->buffers()) buffer.fill_(2);
  EXPECT_FALSE(other->forward(batch.x[0]).equal(before));
  torch::load(other, state);
  EXPECT_TRUE(other->forward(batch.x[0]).equal(before));
}

TEST(Module, ComputesInAnotherDtype) {
  torch::NoGradGuard no_grad;
  auto model = load(kFile);
  const Batch batch = first_batch();
  for (bool training : {false, true}) {
    auto twice = std::dynamic_pointer_cast<Module>(model->clone());
    auto once = std::dynamic_pointer_cast<Module>(model->clone());
    twice->train(training), once->train(training);
    twice->to(torch::kDouble);
    for (const auto& t : twice->parameters()) EXPECT_EQ(t.scalar_type(), torch::kDouble);
    for (const auto& t : twice->buffers()) EXPECT_EQ(t.scalar_type(), torch::kDouble);
    const torch::Tensor exact = twice->forward(batch.x[0].to(torch::kDouble));
    EXPECT_EQ(exact.scalar_type(), torch::kDouble);
    const torch::Tensor rounded = once->forward(batch.x[0]);
    EXPECT_LT(relative(rounded.to(torch::kDouble), exact), kFloatSum);
    EXPECT_GT(relative(rounded.to(torch::kDouble), exact), 0);
    const auto moved = twice->named_buffers(), here = once->named_buffers();
    for (const std::string& name : here.keys())
      EXPECT_LT(relative(here[name].to(torch::kDouble), moved[name]), kFloatSum) << name;
    twice->to(torch::kFloat);
    EXPECT_EQ(twice->forward(batch.x[0]).scalar_type(), torch::kFloat);
  }
}

TEST(Module, SeveralThreadsAtOnce) {
  auto model = load(kFile);
  const Batch test = test_data();
  std::vector<torch::Tensor> inputs, wanted, got;
  {
    torch::NoGradGuard no_grad;
    auto one = load(kFile);
    for (int64_t i = 0; i < 8; ++i) {
      inputs.push_back(test.x[0].slice(0, 40 * i, 40 * i + 40));
      wanted.push_back(one->forward(inputs.back()));
    }
  }
  got.resize(inputs.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < inputs.size(); ++i)
    threads.emplace_back([&, i] {  // the first calls plan the graph
      for (int64_t round = 0; round < 20; ++round) got[i] = model->forward(inputs[i]).detach();
    });
  for (std::thread& t : threads) t.join();
  for (size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(got[i].equal(wanted[i])) << i;
}

// The device without numbers is the one that every machine has.
TEST(Module, ClonesToADevice) {
  auto model = load(kFile);
  auto clone = std::dynamic_pointer_cast<Module>(model->clone(torch::Device(torch::kMeta)));
  EXPECT_EQ(clone->named_parameters().keys(), model->named_parameters().keys());
  for (const auto& t : clone->parameters()) EXPECT_TRUE(t.is_meta() && t.requires_grad());
  for (const auto& t : clone->buffers()) EXPECT_TRUE(t.is_meta());
  for (const auto& t : model->parameters()) EXPECT_TRUE(t.is_cpu());
}

TEST(Module, TwoInputsWantAVector) { EXPECT_THROW(load(kFile)->forward(std::vector<torch::Tensor>{}), Error); }

}  // namespace
}  // namespace midstream
