// `midstream verify`: is it the same model? Outputs and gradients, beside those of TensorFlow.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/oracle_script.h"
#include "formats/npz.h"
#include "open.h"
#include "parity/trace.h"
#include "train/run.h"

extern char** environ;

namespace midstream::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Options {
  std::string file, data, reference, oracle, trace;
  bool as_json = false, trust = false;
};

std::string trace_by_oracle(const Options& o) {
  std::string out = !o.trace.empty()
                        ? o.trace
                        : (fs::temp_directory_path() / fmt::format("midstream-trace-{}.npz", ::getpid())).string();
  std::vector<std::string> words{
      o.oracle, "-c", kOracleScript, o.file, out, o.data.empty() ? "-" : o.data, o.trust ? "trust" : "safe"};
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  int status = 0;
  if (::posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0 ||
      ::waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(ErrorKind::Usage, o.oracle, "could not run the model with TensorFlow.",
                "--oracle wants a Python that has TensorFlow and can load the file. A file with a Lambda layer holds "
                "code, which runs with --trust alone.");
  return out;
}

int verify(const Options& o) {
  if (o.reference.empty() == o.oracle.empty())
    throw Error(ErrorKind::Usage, "verify", "wants either --oracle PYTHON or --reference TRACE.npz.");
  std::string path = o.reference.empty() ? trace_by_oracle(o) : o.reference;
  NpzFile trace = NpzFile::open(path);
  std::vector<parity::Row> rows;
  std::vector<std::string> trainable =
      Run::resume(o.file, {.device = "cpu", .dtype = "", .random_step = 0, .compiled = false}).trainable();
  for (int mode : {0, 1}) {
    // The training mode starts from the file's state anew.
    auto program = open_program(o.file);
    parity::compare(*program, trainable, trace, mode == 1, rows);
  }
  if (o.reference.empty() && o.trace.empty()) fs::remove(path);
  const parity::Row* first = nullptr;
  for (const parity::Row& r : rows)
    if (!first && !(r.error <= r.bound)) first = &r;
  if (o.as_json) {
    json out{{"file", o.file}, {"same", first == nullptr}, {"rows", json::array()}};
    for (const parity::Row& r : rows)
      out["rows"].push_back({{"what", r.what}, {"mode", r.mode}, {"error", r.error}, {"bound", r.bound}});
    fmt::print("{}\n", out.dump(2, ' ', true, json::error_handler_t::replace));
  } else {
    for (const parity::Row& r : rows)
      fmt::print("  {:<9} {:<48} {:9.2e} {}\n", r.mode, printable(r.what), r.error,
                 r.error <= r.bound ? "" : "DIFFERENT");
    if (first)
      fmt::print("{}: different, first at {} ({}): {:.2e}, at most {:.2e} is rounding\n", printable(o.file),
                 printable(first->what), first->mode, first->error, first->bound);
    else
      fmt::print("{}: the same model in outputs and gradients ({} comparisons)\n", printable(o.file), rows.size());
  }
  return first ? kDifferent : kDone;
}

}  // namespace

Command add_verify(CLI::App& app) {
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand("verify", "Compare outputs and gradients with TensorFlow");
  sub->add_option("FILE", o->file, "A .keras or .h5 file")->required();
  sub->add_option("--data", o->data, ".npz with inputs; random ones otherwise");
  sub->add_option("--oracle", o->oracle, "A Python that has TensorFlow");
  sub->add_flag("--trust", o->trust, "Let the oracle run code that the file holds (Lambda layers)")->needs("--oracle");
  sub->add_option("--save-trace", o->trace, "Keep what the oracle computed, as .npz")->needs("--oracle");
  sub->add_option("--reference", o->reference, "A trace that was kept: no TensorFlow is needed then")
      ->excludes("--oracle");
  sub->add_flag("--json", o->as_json, "Print JSON");
  return [o] { return verify(*o); };
}

}  // namespace midstream::cli
