// Opens the digits that TensorFlow left half trained, goes on with an optimizer of torch::optim, then with Keras' own
// optimizer from the file, and saves:  train_digits digits.keras train.npz out.keras
#include <midstream/midstream.h>
#include <torch/optim/adam.h>
#include <torch/serialize.h>

#include <cstdio>

namespace {

torch::Tensor loss_of(const torch::Tensor& probabilities, const torch::Tensor& digits) {
  return -probabilities.gather(1, digits.to(torch::kLong).unsqueeze(1)).log().mean();
}

// A loop of one's own: the model is a torch::nn::Module.
void train_by_hand(midstream::Module& model, const midstream::data::Npz& data) {
  torch::optim::Adam optimizer(model.parameters(), 1e-3);
  model.train();
  for (int64_t step = 0; step < 10; ++step) {
    const midstream::Batch batch = data.slice(32 * step, 32 * step + 32);
    optimizer.zero_grad();
    torch::Tensor loss = loss_of(model(batch.x[0]), batch.y[0]);
    loss.backward();
    optimizer.step();
    std::printf("torch::optim  step %2ld  loss %.6f\n", static_cast<long>(step + 1), loss.item<double>());
  }
}

int train(const char* file, const char* npz, const char* output) {
  const midstream::data::Npz data(npz);
  auto model = midstream::load(file);
  train_by_hand(*model, data);
  torch::save(model, std::string(output) + ".pt");

  // Where TensorFlow stopped, with its slots, step and schedule.
  midstream::Run run = midstream::resume(file);
  run.fit(data, {.epochs = 2, .on_epoch = [](int64_t epoch, const midstream::Logs& logs) {
                   std::printf("Run           epoch %ld", static_cast<long>(epoch + 1));
                   for (const auto& [name, value] : logs) std::printf("  %s %.6f", name.c_str(), value);
                   std::printf("\n");
                 }});
  midstream::save(run, output);
  std::printf("%s: written, step %ld\n", output, static_cast<long>(run.iterations()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: train_digits FILE DATA.npz OUTPUT\n"), 2;
  try {
    return train(argv[1], argv[2], argv[3]);
  } catch (const midstream::Error& error) {
    return std::fprintf(stderr, "train_digits: %s\n", error.what()), 1;
  }
}
