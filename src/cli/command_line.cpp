// The command line: docs in README.md. Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 verify found a difference.
#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "cli/command_line.h"
#include "cli/commands.h"

namespace midstream::cli {
namespace {

// A library that registers classes of the user's own (lower/own.h) when it is loaded. It is never unloaded: the
// registry holds its functions.
void load_plugin(const std::string& path) {
  if (!std::filesystem::exists(path)) throw Error(ErrorKind::Usage, path, "does not exist.");
  if (!dlopen(std::filesystem::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL)) {
    const char* reason = dlerror();
    throw Error(ErrorKind::Usage, path, fmt::format("cannot be loaded: {}.", reason ? reason : "unknown reason"),
                "\n  Compile it with the headers of this midstream, without linking midstream to it: examples/cpp.");
  }
}

}  // namespace

int command_line(int argc, const char* const* argv, bool in_python) {
  CLI::App app{"midstream takes a TensorFlow model in the middle of its training and goes on training it in PyTorch."};
  app.name("midstream");
  app.set_version_flag("--version", MIDSTREAM_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  bool verbose = false;
  std::string python;
  app.add_option("--python", python, "With `python -m midstream`: a file that registers classes of your own first");
  std::vector<std::string> plugins;
  app.add_option("--plugin", plugins, "A shared library that registers classes of your own first: examples/cpp")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--verbose", verbose, "Say more about an error");

  std::vector<std::pair<std::string, cli::Command>> commands{
      {"convert", cli::add_convert(app)}, {"inspect", cli::add_inspect(app)}, {"ops", cli::add_ops(app)},
      {"predict", cli::add_predict(app)}, {"train", cli::add_train(app)},     {"verify", cli::add_verify(app)},
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::string text = error.what();
    if (text.ends_with('.')) text.pop_back();
    fmt::print(stderr, "midstream: {}. `midstream --help`, or --help behind a command, says what there is.\n",
               printable(text, true));
    return cli::kWrongUsage;
  }
  try {
    if (!python.empty() && !in_python)
      throw Error(ErrorKind::Usage, python, "needs Python, which this executable does without.",
                  "Run `python -m midstream` with the same arguments.");
    if (!plugins.empty() && in_python)
      throw Error(ErrorKind::Usage, plugins[0], "is for the executable, and --python keeps this run in Python.",
                  "Register these classes with midstream.register there.");
    for (const std::string& plugin : plugins) load_plugin(plugin);
    for (const auto& [name, run] : commands)
      if (app.got_subcommand(name)) return run();
  } catch (const Error& error) {
    fmt::print(stderr, "midstream: {}\n", error.what());
    if (verbose) fmt::print(stderr, "  kind: {}\n", to_string(error.kind()));
    return error.kind() == ErrorKind::Usage ? cli::kWrongUsage : cli::kFailed;
  } catch (const std::exception& error) {
    std::string text = error.what();
    fmt::print(stderr, "midstream: {}\n", printable(verbose ? text : text.substr(0, text.find('\n')), true));
    return cli::kFailed;
  }
  return cli::kWrongUsage;
}

}  // namespace midstream::cli
