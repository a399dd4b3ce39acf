// `midstream verify`: is it the same model? Outputs and gradients, beside those of TensorFlow.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <torch/csrc/autograd/autograd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/oracle_script.h"
#include "formats/npz.h"
#include "libtorch/convert.h"
#include "open.h"
#include "train/run.h"

extern char** environ;

namespace midstream::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Options {
  std::string file, data, reference, oracle;
  bool as_json = false;
};

// A rounding error grows with the length of the sums behind a number; this many units in the last place of the largest
// element are room for sums of a million terms (error of a sum grows like the root of its length).
constexpr double kUlps = 1024;

std::string trace_by_oracle(const Options& o) {
  std::string out = (fs::temp_directory_path() / fmt::format("midstream-trace-{}.npz", ::getpid())).string();
  std::vector<std::string> words{o.oracle, "-c", kOracleScript, o.file, out, o.data.empty() ? "-" : o.data};
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  int status = 0;
  if (::posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0 ||
      ::waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(ErrorKind::Usage, o.oracle, "could not run the model with TensorFlow.",
                "--oracle wants a Python that has TensorFlow and can load the file.");
  return out;
}

double difference(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.numel() == 0) return 0;
  at::Tensor a = ours.to_dense().to(at::kDouble), b = theirs.to(at::kDouble);
  double scale = std::max({a.abs().max().item<double>(), b.abs().max().item<double>(), 1e-30});
  return (a - b).abs().max().item<double>() / scale;
}

struct Row {
  std::string what, mode;
  double error, bound;
};

at::Tensor get(const NpzFile& trace, const std::string& name) { return to_tensor(trace.read(name)).clone(); }

void compare_mode(Program& program, const std::vector<std::string>& trainable, const NpzFile& trace, int mode,
                  std::vector<Row>& rows) {
  std::vector<at::Tensor> inputs;
  for (size_t i = 0; i < program.forward().inputs.size(); ++i)
    inputs.push_back(get(trace, fmt::format("x{}", i))
                         .to(to_scalar_type(program.forward().type(program.forward().inputs[i].value).dtype)));
  auto outputs = program.run(inputs, mode == 1);
  const char* name = mode == 1 ? "training" : "inference";
  std::vector<at::Tensor> cotangents;
  double eps = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    eps = outputs[i].scalar_type() == at::kDouble ? 2.2e-16 : 1.2e-7;
    rows.push_back({program.forward().outputs[i].name, name,
                    difference(outputs[i], get(trace, fmt::format("m{}:y{}", mode, i))), kUlps * eps});
    cotangents.push_back(get(trace, fmt::format("m{}:c{}", mode, i)));
  }
  std::vector<at::Tensor> parameters;
  for (const std::string& v : trainable) parameters.push_back(program.variables()->tensor(v));
  if (parameters.empty()) return;
  auto gradients = torch::autograd::grad(outputs, parameters, cotangents, false, false, true);
  double largest = 0;
  for (size_t i = 0; i < trainable.size(); ++i)
    largest = std::max(largest, get(trace, fmt::format("m{}:g{}", mode, i)).abs().max().item<double>());
  const Variables& table = *program.variables()->variables();
  for (size_t i = 0; i < trainable.size(); ++i) {
    at::Tensor theirs = get(trace, fmt::format("m{}:g{}", mode, i));
    at::Tensor ours = gradients[i].defined()
                          ? to_source(table.at(table.index_of(trainable[i])), gradients[i].to_dense())
                          : at::zeros_like(theirs);
    // A gradient that is zero but for rounding (a bias before a normalization) is measured by the model's largest one.
    double scale = std::max(theirs.abs().max().item<double>(), 1e-3 * largest);
    double error = scale == 0 ? 0 : (ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max().item<double>() / scale;
    rows.push_back({"gradient of " + trainable[i], name, error, kUlps * eps});
  }
}

int verify(const Options& o) {
  if (o.reference.empty() == o.oracle.empty())
    throw Error(ErrorKind::Usage, "verify", "wants either --oracle PYTHON or --reference TRACE.npz.");
  std::string path = o.reference.empty() ? trace_by_oracle(o) : o.reference;
  NpzFile trace = NpzFile::open(path);
  std::vector<Row> rows;
  std::vector<std::string> trainable = Run::resume(o.file, {.device = "cpu", .dtype = std::nullopt, .random_step = 0, .compiled = false}).trainable();
  for (int mode : {0, 1}) {
    // The training mode starts from the file's state anew.
    auto program = open_program(o.file);
    compare_mode(*program, trainable, trace, mode, rows);
  }
  if (o.reference.empty()) fs::remove(path);
  const Row* first = nullptr;
  for (const Row& r : rows)
    if (!first && !(r.error <= r.bound)) first = &r;
  if (o.as_json) {
    json out{{"file", o.file}, {"same", first == nullptr}, {"rows", json::array()}};
    for (const Row& r : rows) out["rows"].push_back({{"what", r.what}, {"mode", r.mode}, {"error", r.error}, {"bound", r.bound}});
    fmt::print("{}\n", out.dump(2));
  } else {
    for (const Row& r : rows)
      fmt::print("  {:<9} {:<48} {:9.2e} {}\n", r.mode, r.what, r.error, r.error <= r.bound ? "" : "DIFFERENT");
    if (first) fmt::print("{}: different, first at {} ({}): {:.2e}, at most {:.2e} is rounding\n", o.file, first->what, first->mode, first->error, first->bound);
    else fmt::print("{}: the same model in outputs and gradients ({} comparisons)\n", o.file, rows.size());
  }
  return first ? kDifferent : kDone;
}

}  // namespace

Command add_verify(CLI::App& app) {
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand("verify", "Compare outputs and gradients with TensorFlow");
  sub->add_option("FILE", o->file, "A .keras or .h5 file")->required();
  sub->add_option("--data", o->data, ".npz with inputs; random ones otherwise");
  sub->add_option("--reference", o->reference, "A trace that an oracle wrote earlier");
  sub->add_option("--oracle", o->oracle, "A Python that has TensorFlow");
  sub->add_flag("--json", o->as_json, "Print JSON");
  return [o] { return verify(*o); };
}

}  // namespace midstream::cli
