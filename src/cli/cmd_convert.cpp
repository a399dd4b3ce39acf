// `midstream convert`: PyTorch source and safetensors.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "convert.h"
#include "open.h"

namespace midstream::cli {

Command add_convert(CLI::App& app) {
  struct Options {
    std::string file, output, signature;
    keras::ReadOptions keras;
    bool exact_random = false;
  };
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand("convert", "Write readable PyTorch source and the weights");
  sub->add_option("FILE", o->file, "A model file")->required();
  sub->add_option("-o,--output", o->output, "A directory")->required();
  sub->add_option("--signature", o->signature, "Of a SavedModel; or tensors of the graph: pred, a:0,b:0");
  add_keras_options(*sub, o->keras);
  sub->add_flag("--exact-random", o->exact_random, "Refuse a model whose random layers would not draw TensorFlow's numbers");
  return [o] {
    Converted c = convert_with_training(
        o->file, {.which = {.signature = o->signature, .function = {}, .fed = {}, .keras = o->keras}, .exact_random = o->exact_random});
    write_package(c, o->output);
    fmt::print("{}: model.py (class {}, {} lines), weights.safetensors ({} tensors){}\n", printable(o->output),
               c.module.class_name, std::count(c.module.source.begin(), c.module.source.end(), '\n'), c.weights.size(),
               c.training.empty() ? "" : fmt::format(", training.py, state.safetensors ({} tensors)", c.state.size()));
    if (!c.no_training.empty()) fmt::print("No training.py: {}\n", printable(c.no_training, true));
    return kDone;
  };
}

}  // namespace midstream::cli
