#include "train/run.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>

#include "base/error.h"
#include "lower/keras/train_graph.h"
#include "train/checkpoint.h"
#include "train/fit.h"
#include "train/trainer.h"

namespace midstream {

Run::Run(std::unique_ptr<Trainer> trainer) : trainer_(std::move(trainer)) {}
Run::Run(Run&&) noexcept = default;
Run& Run::operator=(Run&&) noexcept = default;
Run::~Run() = default;

Run Run::resume(const std::string& path, const RunOptions& options) {
  auto file = std::make_shared<keras::File>(keras::read(path, options.read));
  file->path = std::filesystem::absolute(path).string();  // save() goes back there, wherever the process is then
  return resume(std::move(file), options);
}

Run Run::resume(std::shared_ptr<keras::File> file, const RunOptions& options) {
  if (!options.dtype.empty()) keras::set_floatx(*file, options.dtype);
  Run run(std::make_unique<Trainer>(std::move(file), options));
  // Keras 3 keeps the rate as a variable, which has been read from the file.
  if (options.read.learning_rate != 0 && run.can_train()) run.set_learning_rate(options.read.learning_rate);
  return run;
}

const keras::File& Run::file() const { return trainer_->file(); }
std::vector<std::string> Run::left_out_metrics() const { return keras::left_out_metrics(trainer_->file()); }
bool Run::can_train() const { return trainer_->can_train() && trainer_->optimizer() != nullptr; }
bool Run::restored_optimizer() const { return trainer_->restored_optimizer(); }
const Graph& Run::forward_graph() const { return trainer_->forward(); }
VariableStore& Run::variables() { return *trainer_->variables(); }
const std::shared_ptr<VariableStore>& Run::shared_variables() const { return trainer_->variables(); }
std::vector<std::string> Run::trainable() const { return trainer_->trainable(); }

std::string Run::slot_name(const std::string& weight, const std::string& slot) const {
  std::string name = OptimizerStep::slot_variable(weight, slot);
  return trainer_->variables()->variables()->find(name) ? name : std::string();
}

namespace {
OptimizerStep& optimizer_of(Trainer& trainer) {
  if (!trainer.optimizer()) throw Error(ErrorKind::Usage, trainer.file().path, "holds no optimizer.");
  return *trainer.optimizer();
}
}  // namespace

int64_t Run::iterations() const { return trainer_->optimizer() ? trainer_->optimizer()->iterations() : 0; }
double Run::learning_rate() const { return optimizer_of(*trainer_).learning_rate(); }
void Run::set_learning_rate(double value) { optimizer_of(*trainer_).set_learning_rate(value); }

std::vector<std::string> Run::input_names() const { return trainer_->file().model.input_names; }
std::vector<std::string> Run::output_names() const { return trainer_->file().model.output_names; }

Logs Run::train_step(const Batch& batch) {
  trainer_->train(batch);
  return trainer_->results();
}

Logs Run::test_step(const Batch& batch) {
  trainer_->test(batch);
  return trainer_->results();
}

Run::Gradients Run::gradients(const Batch& batch) {
  std::vector<VariableGradient> g;
  Gradients out = trainer_->gradients(batch, &g);
  for (size_t i = 0; i < g.size(); ++i) {
    at::Tensor t = g[i].values;
    if (g[i].indices.defined())
      t = at::sparse_coo_tensor(g[i].indices.unsqueeze(0), g[i].values,
                                trainer_->variables()->tensor(trainer_->trainable()[i]).sizes());
    out.gradients.emplace_back(trainer_->trainable()[i], t);
  }
  return out;
}

void Run::apply_gradients(const std::vector<at::Tensor>& gradients) {
  if (gradients.size() != trainer_->trainable().size())
    throw Error(ErrorKind::Usage, "apply_gradients", "wants one gradient for each trainable variable.");
  std::vector<VariableGradient> g;
  for (const at::Tensor& t : gradients) {
    const bool sparse = t.defined() && t.layout() == c10::kSparse;
    g.push_back(sparse ? VariableGradient{t._values(), t._indices()[0]} : VariableGradient{t, {}});
  }
  optimizer_of(*trainer_);
  trainer_->apply(std::move(g));
}

void Run::finalize() { optimizer_of(*trainer_).finalize(); }

History Run::fit(const Dataset& data, const FitOptions& options) { return midstream::fit(*trainer_, data, options); }
Logs Run::evaluate(const Dataset& data, int64_t batch_size) { return midstream::evaluate(*trainer_, data, batch_size); }
void Run::reset_metrics() { trainer_->reset_metrics(); }

std::vector<at::Tensor> Run::predict(const std::vector<at::Tensor>& x, int64_t batch_size) {
  std::vector<std::vector<at::Tensor>> parts;
  const int64_t n = x.empty() ? 0 : x[0].size(0);
  for (int64_t first = 0; first == 0 || first < n; first += batch_size) {
    std::vector<at::Tensor> piece;
    for (const at::Tensor& t : x) piece.push_back(t.slice(0, first, std::min(n, first + batch_size)));
    std::vector<at::Tensor> y = trainer_->predict(piece);
    parts.resize(y.size());
    for (size_t i = 0; i < y.size(); ++i) parts[i].push_back(y[i]);
  }
  std::vector<at::Tensor> out;
  for (auto& p : parts) out.push_back(p.size() == 1 ? p[0] : at::cat(p));
  return out;
}

std::vector<at::Tensor> Run::predict(const Dataset& data, int64_t batch_size) {
  return midstream::predict(*trainer_, data, batch_size);
}

const History& Run::history() const { return trainer_->history; }

void Run::save_checkpoint(const std::string& path, const DataPosition& position) const {
  write_checkpoint(path, *trainer_, position);
}
DataPosition Run::load_checkpoint(const std::string& path) { return read_checkpoint(path, *trainer_); }

}  // namespace midstream
