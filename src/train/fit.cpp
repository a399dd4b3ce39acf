#include "train/fit.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "train/checkpoint.h"
#include "train/checks.h"
#include "train/loader.h"
#include "train/progress.h"

namespace midstream {

at::Tensor class_weights(const at::Tensor& y, const std::vector<std::pair<int64_t, double>>& weights) {
  at::Tensor labels = y;
  if (labels.dim() > 1) labels = labels.size(-1) != 1 ? labels.argmax(-1) : labels.squeeze(-1);
  labels = labels.to(at::kDouble).round();
  at::Tensor out = at::ones_like(labels);
  for (const auto& [label, weight] : weights) out.masked_fill_(labels == static_cast<double>(label), weight);
  return out;
}

namespace {

class Loop {
 public:
  Loop(Trainer& trainer, const Dataset& data, const FitOptions& options)
      : trainer_(trainer), data_(data), options_(options), progress_(options.progress) {
    if (options.batch_size <= 0) throw Error(ErrorKind::Usage, "fit", "wants a batch size of at least 1.");
    arrangement_ = checked(data, trainer);
    if (!options.class_weight.empty() && arrangement_.y.size() != 1)
      throw Error(ErrorKind::Usage, "fit", "takes class weights only for models with one target.");
    if (options.validation) checked(*options.validation, trainer);
    batches_ = (data.samples() + options.batch_size - 1) / options.batch_size;
  }

  History run() {
    resume();
    if (options_.on_begin) options_.on_begin();
    trainer_.step_for(prepared(data_.slice(0, 1)));  // the state of the metrics is there before it is cleared
    if (position_.batch == 0) trainer_.reset_metrics();
    while (!finished() && !stopped()) {
      epoch();
      if (position_.batch < batches_) break;  // stopped in the middle
      end_of_epoch();
    }
    const bool complete = finished();
    if (!complete && !options_.checkpoint_dir.empty()) checkpoint();
    if (complete && trainer_.optimizer()) trainer_.optimizer()->finalize();
    return trainer_.history;
  }

 private:
  bool stopped() const { return options_.stop && options_.stop->load(); }
  bool finished() const {
    return options_.steps > 0 ? position_.epoch * batches_ + position_.batch >= options_.steps
                              : position_.epoch >= options_.epochs;
  }

  void resume() {
    if (!options_.resume) {
      trainer_.history = {};
      return;
    }
    if (options_.checkpoint_dir.empty())
      throw Error(ErrorKind::Usage, "fit", "resumes only with a folder of checkpoints.");
    if (auto newest = newest_checkpoint(options_.checkpoint_dir)) position_ = read_checkpoint(*newest, trainer_, order());
  }

  DataOrder order() const { return {data_.samples(), options_.batch_size, options_.shuffle, options_.seed}; }

  std::string where() const {
    return options_.steps > 0 ? fmt::format("epoch {}", position_.epoch + 1)
                              : fmt::format("epoch {}/{}", position_.epoch + 1, options_.epochs);
  }

  Batch prepared(const Batch& raw) const {
    Batch batch = arrangement_.apply(raw);
    if (options_.class_weight.empty()) return batch;
    at::Tensor weights = class_weights(batch.y[0], options_.class_weight);
    // Keras 2 multiplies both kinds of weights, Keras 3 refuses to take both; the product is the one meaning of both.
    if (!batch.sample_weight.empty()) weights = weights * batch.sample_weight[0].to(at::kDouble);
    batch.sample_weight = {weights};
    return batch;
  }

  void epoch() {
    Loader loader(data_, sample_order(data_.samples(), options_.shuffle, options_.seed, position_.epoch),
                  options_.batch_size, position_.batch);
    while (!finished() && !stopped()) {
      std::optional<Batch> batch = loader.next();
      if (!batch) break;
      const double loss = trainer_.train(prepared(*batch));
      ++position_.batch;
      if (options_.on_step) options_.on_step(position_.epoch * batches_ + position_.batch, loss);
      progress_.step(where(), position_.batch, batches_, loss);
      const int64_t every = options_.checkpoint_every;
      if (!options_.checkpoint_dir.empty() && every > 0 && (position_.epoch * batches_ + position_.batch) % every == 0)
        checkpoint();
    }
    // The last batch of a run that is counted in steps ends its epoch, complete or not.
    if (options_.steps > 0 && finished()) end_of_epoch_logs();
  }

  void end_of_epoch_logs() {
    if (logged_ == position_.epoch) return;
    logged_ = position_.epoch;
    Logs logs = trainer_.results();
    if (options_.validation) {
      trainer_.reset_metrics();
      for (const auto& [name, value] : evaluate(trainer_, *options_.validation, options_.batch_size))
        logs.emplace_back("val_" + name, value);
    }
    trainer_.history.epochs.push_back(logs);
    progress_.epoch(where(), logs);
    if (options_.on_epoch) options_.on_epoch(position_.epoch, logs);
  }

  void end_of_epoch() {
    end_of_epoch_logs();
    position_ = {position_.epoch + 1, 0};
    trainer_.reset_metrics();
    if (!options_.checkpoint_dir.empty() && options_.checkpoint_every <= 0) checkpoint();
  }

  void checkpoint() {
    std::filesystem::create_directories(options_.checkpoint_dir);
    const int64_t step = position_.epoch * batches_ + position_.batch;
    write_checkpoint(checkpoint_path(options_.checkpoint_dir, step), trainer_, position_, order());
  }

  Trainer& trainer_;
  const Dataset& data_;
  const FitOptions& options_;
  Arrangement arrangement_;
  Progress progress_;
  DataPosition position_;
  int64_t batches_ = 0, logged_ = -1;
};

}  // namespace

History fit(Trainer& trainer, const Dataset& data, const FitOptions& options) {
  return Loop(trainer, data, options).run();
}

Logs evaluate(Trainer& trainer, const Dataset& data, int64_t batch_size) {
  const Arrangement arrangement = arrange(data, trainer, true);
  check_inputs(data, arrangement, trainer);
  check_targets(data, arrangement, trainer);
  trainer.reset_metrics();
  Loader loader(data, {}, batch_size, 0);
  while (std::optional<Batch> batch = loader.next()) trainer.test(arrangement.apply(*batch));
  Logs logs = trainer.results();
  trainer.reset_metrics();
  return logs;
}

std::vector<at::Tensor> predict(Trainer& trainer, const Dataset& data, int64_t batch_size) {
  const Arrangement arrangement = arrange(data, trainer, false);
  check_inputs(data, arrangement, trainer);
  std::vector<std::vector<at::Tensor>> parts;
  Loader loader(data, {}, batch_size, 0);
  while (std::optional<Batch> batch = loader.next()) {
    std::vector<at::Tensor> y = trainer.predict(arrangement.apply(*batch).x);
    parts.resize(y.size());
    for (size_t i = 0; i < y.size(); ++i) parts[i].push_back(y[i].cpu());
  }
  std::vector<at::Tensor> out;
  for (auto& p : parts) out.push_back(at::cat(p));
  return out;
}

}  // namespace midstream
