// The commands of `midstream`. Each adds its subcommand to the parser and returns what runs it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace midstream::cli {

// The exit code; errors are thrown.
using Command = std::function<int()>;

Command add_convert(CLI::App& app);
Command add_inspect(CLI::App& app);
Command add_ops(CLI::App& app);
Command add_predict(CLI::App& app);
Command add_train(CLI::App& app);
Command add_verify(CLI::App& app);

// CLI::PositiveNumber, with a message that one can read.
inline CLI::Validator one_or_more() {
  return CLI::Validator(
      [](std::string& text) {
        return text.find_first_not_of("0123456789") == std::string::npos &&
                       text.find_first_not_of('0') != std::string::npos
                   ? std::string()
                   : text + " given, a whole number from 1 on wanted";
      },
      "");
}

inline constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2, kDifferent = 3;

}  // namespace midstream::cli
