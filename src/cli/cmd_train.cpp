// `midstream train`: goes on where TensorFlow stopped.
#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "data/npz.h"
#include "formats/mapped_file.h"
#include "open.h"
#include "save.h"
#include "train/memory.h"
#include "train/run.h"
#include "train/tensorboard.h"

namespace midstream::cli {
namespace {

std::atomic<bool> interrupted{false};

void interrupt(int) {
  if (interrupted.exchange(true)) std::signal(SIGINT, SIG_DFL);  // the second time it is meant
}

struct Options {
  std::string file, data, validation, output, device = "cpu", dtype, history, log_dir;
  keras::ReadOptions read;
  FitOptions fit;
  bool no_shuffle = false, quiet = false;
  int64_t random_step = 0;
};

void write_history(const std::string& path, const History& history) {
  nlohmann::json out = nlohmann::json::object();
  for (const Logs& epoch : history.epochs)
    for (const auto& [name, value] : epoch) out[name].push_back(value);
  atomic_write(path, as_bytes(out.dump(1) + "\n"));
}

std::string line_of(const Logs& logs) {
  std::string text;
  for (const auto& [name, value] : logs) text += fmt::format("  {} {:.6g}", printable(name), value);
  return text;
}

int train(Options& o) {
  refuse_other_kinds(o.file);
  if (!is_keras_file(o.file))
    throw Error(ErrorKind::Unsupported, o.file, "holds no loss and no optimizer, only a graph.",
                "Train it from Python: midstream.load gives a torch.nn.Module.");
  Run run = Run::resume(o.file, {.device = o.device,
                                 .dtype = o.dtype,
                                 .random_step = o.random_step,
                                 .compiled = true,
                                 .read = o.read});
  if (!run.can_train())
    throw Error(ErrorKind::BadData, o.file, "was saved without compile(): it names no loss and no optimizer.",
                "Give both: --loss and --optimizer.");
  check_destination(run, o.output);
  data::Npz data(o.data);
  std::optional<data::Npz> validation;
  if (!o.validation.empty()) validation.emplace(o.validation);
  o.fit.validation = validation ? &*validation : nullptr;
  o.fit.shuffle = !o.no_shuffle;
  o.fit.progress = !o.quiet;
  o.fit.stop = &interrupted;
  std::optional<TensorBoard> board;
  o.fit.on_begin = [&] {
    if (!o.log_dir.empty()) board.emplace(o.log_dir);
    fmt::print("{}: {} at step {}, learning rate {:g}\n", printable(o.file),
               run.restored_optimizer() ? "the optimizer goes on" : "no optimizer state in the file, it starts fresh",
               run.iterations(), run.learning_rate());
    if (const auto left_out = run.left_out_metrics(); !left_out.empty())
      fmt::print("  without the metrics {}, which have no lowering: they do not change the training\n",
                 printable(fmt::format("{}", fmt::join(left_out, ", "))));
  };
  o.fit.on_epoch = [&](int64_t epoch, const Logs& logs) {
    if (board) board->epoch(epoch, logs, run.learning_rate());
    fmt::print("epoch {}/{}{}\n", epoch + 1, o.fit.epochs, line_of(logs));
    std::fflush(stdout);
  };
  std::signal(SIGINT, interrupt);
  History history = run.fit(data, o.fit);
  save(run, o.output);
  if (!o.history.empty()) write_history(o.history, history);
  if (run.file().optimizer_given && !run.file().weights_only)
    fmt::print("{}: holds the weights; a file that was never compiled has no place for the optimizer's state, which "
               "--checkpoint-dir keeps\n",
               printable(o.output));
  fmt::print("{}: written, step {}{}\n", printable(o.output), run.iterations(), interrupted ? " (interrupted)" : "");
  return kDone;
}

}  // namespace

Command add_train(CLI::App& app) {
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand("train", "Go on training where TensorFlow stopped");
  sub->add_option("FILE", o->file, "A .keras or .h5 file")->required();
  sub->add_option("--data", o->data, ".npz with x and y, optionally sample_weight")->required();
  sub->add_option("--validation", o->validation, ".npz");
  auto* epochs = sub->add_option("--epochs", o->fit.epochs)->capture_default_str()->check(one_or_more());
  sub->add_option("--steps", o->fit.steps, "This many batches instead of epochs")
      ->excludes(epochs)
      ->check(one_or_more());
  sub->add_option("--batch-size", o->fit.batch_size)->capture_default_str()->check(one_or_more());
  sub->add_flag("--no-shuffle", o->no_shuffle, "Batches in order, the last partial one included");
  sub->add_option("--seed", o->fit.seed, "Of the shuffling")->capture_default_str();
  sub->add_option("--random-step", o->random_step, "Where the counters of seeded random layers start")
      ->capture_default_str();
  sub->add_option("--device", o->device, "cpu or cuda")->capture_default_str();
  sub->add_option("--dtype", o->dtype, "Compute in float32 or float64, whatever the file's dtype is");
  add_keras_options(*sub, o->read);
  sub->add_option("--loss", o->read.loss, "As compile() takes it; overrules the file's in this run");
  sub->add_option("--optimizer", o->read.optimizer, "As compile() takes it, for a file that names none");
  sub->add_option("--learning-rate", o->read.learning_rate, "Instead of the file's, which must have no schedule")
      ->check(CLI::PositiveNumber);
  sub->add_option("--checkpoint-dir", o->fit.checkpoint_dir);
  sub->add_option("--checkpoint-every", o->fit.checkpoint_every, "Steps; 0: every epoch");
  sub->add_flag("--resume", o->fit.resume, "Go on from the newest checkpoint");
  sub->add_option("--log-dir", o->log_dir, "Write losses and metrics for TensorBoard");
  sub->add_option("--history", o->history, "Write the losses and metrics of every epoch as JSON");
  sub->add_flag("--quiet", o->quiet, "No progress bar");
  sub->add_option("-o,--output", o->output,
                  "The trained model: of the same kind as FILE, or a directory of PyTorch source")
      ->required();
  return [o] { return train(*o); };
}

}  // namespace midstream::cli
