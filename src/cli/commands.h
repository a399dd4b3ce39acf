// The commands of `midstream`. Each adds its subcommand to the parser and returns what runs it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "frontend/keras/model.h"

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

// How to read a Keras file: --architecture and --train-step.
inline void add_keras_options(CLI::App& command, keras::ReadOptions& options) {
  command.add_option("--architecture", options.architecture,
                     "For an .h5 file of weights alone: the model's configuration, a .json of to_json(), or a .keras or "
                     ".h5 file of the same model");
  command
      .add_option_function<std::string>(
          "--train-step", [&options](const std::string& word) { options.ignore_train_step = word == "ignore"; },
          "A model class of your own, whose train_step() is not in the file: refuse, or ignore it and take the layers "
          "of its configuration and the compiled loss")
      ->check(CLI::IsMember({"refuse", "ignore"}))
      ->default_str("refuse");
}

inline constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2, kDifferent = 3;

}  // namespace midstream::cli
