// `midstream predict`: the model's outputs for the inputs in an .npz file.
#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "data/inputs.h"
#include "formats/npz.h"
#include "libtorch/convert.h"
#include "open.h"

namespace midstream::cli {

// The shapes of the arrays "x" and "x:<input>".
static std::map<std::string, Dims> shapes_in(const std::string& data) {
  std::map<std::string, Dims> out;
  if (data.empty()) return out;
  NpzFile npz = NpzFile::open(data);
  for (const std::string& name : npz.names())
    if (name == "x" || name.starts_with("x:"))
      out[name.substr(std::min<size_t>(2, name.size()))] = npz.read(name).shape();
  return out;
}

Command add_predict(CLI::App& app) {
  struct Options {
    std::string file, data, output, signature;
    keras::ReadOptions keras;
    int64_t batch = 32;
  };
  auto o = std::make_shared<Options>();
  auto* sub = app.add_subcommand("predict", "Run the model");
  sub->add_option("FILE", o->file, "A model file")->required();
  sub->add_option("--data", o->data, ".npz with x, or x:<input name>");
  sub->add_option("-o,--output", o->output, ".npz for y, or y:<output name>")->required();
  sub->add_option("--signature", o->signature, "Of a SavedModel; or tensors of the graph: pred, a:0,b:0");
  add_keras_options(*sub, o->keras);
  sub->add_option("--batch-size", o->batch, "Rows at a time")->capture_default_str()->check(one_or_more());
  return [o] {
    OpenOptions which{.signature = o->signature, .function = {}, .fed = {}, .keras = o->keras};
    if (!is_keras_file(o->file)) which.fed = shapes_in(o->data);  // a Keras file says what it wants
    auto program = open_program(o->file, which);
    auto results = data::predict(*program, data::read_inputs(program->forward(), o->data), o->batch);
    const auto& outputs = program->forward().outputs;
    const bool bare = !is_keras_file(o->file) && o->signature.empty() && program->forward().outputs.size() != 1;
    NamedArrays arrays;
    for (size_t i = 0; i < results.size(); ++i) {
      std::string name = results.size() == 1 && !bare ? "y" : "y:" + outputs[i].name;
      arrays.emplace_back(name, to_array(results[i]));
    }
    write_npz(o->output, arrays);
    for (const auto& [name, array] : arrays)
      fmt::print("{}  {} {}\n", printable(name), to_string(array.dtype()), to_string(array.shape()));
    return kDone;
  };
}

}  // namespace midstream::cli
