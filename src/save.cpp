#include "save.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "frontend/keras/canonical.h"
#include "frontend/tensorflow/source.h"
#include "libtorch/convert.h"
#include "writeback/container.h"

namespace midstream {
namespace {

namespace fs = std::filesystem;

Array source_array(Run& run, size_t index) {
  const Variable& v = run.variables().variables()->at(index);
  return to_array(to_source(v, run.variables().tensor(index)));
}

// The step counter and the learning rate have in memory the dtype that we compute with, in the file their own.
Array as_in_file(const keras::File& file, const Variable& v, Array array) {
  if (v.role != Role::Step || !file.optimizer) return array;
  for (const auto& from : {file.optimizer->iterations_array, file.optimizer->learning_rate}) {
    if (!from || from->source != v.source) continue;
    return to_array(to_tensor(array).to(to_scalar_type(from->array.dtype())).reshape(from->array.shape()));
  }
  return array;
}

// Places for the optimizer of a file that had none, as Keras 3 lays them out: optimizer/vars/0, 1, ...
void add_fresh_optimizer(Run& run, NamedArrays& arrays) {
  const keras::File& file = run.file();
  const auto& table = *run.variables().variables();
  size_t next = 0;
  auto add = [&](const std::string& variable, bool required) {
    if (!table.find(variable)) {
      if (required) throw Error(ErrorKind::Internal, variable, "is no variable of the optimizer.");
      return;
    }
    arrays.emplace_back(fmt::format("/optimizer/vars/{}", next++), source_array(run, table.index_of(variable)));
  };
  add("optimizer/iteration", true);
  add("optimizer/learning_rate", false);
  const auto& optimizer = file.compile.at("optimizer");
  for (const auto& slots : keras::slot_runs(optimizer.at("class_name"), optimizer.at("config")))
    for (const std::string& weight : run.trainable())
      for (const std::string& slot : slots) add(run.slot_name(weight, slot), true);
}

// ".h5" for all names of HDF5 files.
std::string ending_of(const std::string& path) {
  std::string ending = fs::path(path).extension().string();
  return ending == ".hdf5" ? ".h5" : ending;
}

void check_kind(const std::string& format, const std::string& path) {
  if (ending_of(path) != format)
    throw Error(ErrorKind::Usage, path, "cannot be written: the model came from a " + format + " file.",
                "Give a name that ends in " + format + ".");
}

void write_tensorflow(const std::string& source, const NamedArrays& arrays, const std::string& path) {
  const tensorflow::File file = tensorflow::read(source);
  if (file.format == "GraphDef") {
    check_kind(fs::path(file.path).extension(), path);
    write_frozen_graph(file.path, arrays, path);
  } else if (file.format == "checkpoint") {
    write_checkpoint(file.path, arrays, path);
  } else {
    write_saved_model(file.path, arrays, path);
  }
}

}  // namespace

void check_destination(const Run& run, const std::string& path) {
  check_kind(run.file().format, path);
  const fs::path directory = fs::absolute(path).parent_path();
  if (!fs::is_directory(directory) || ::access(directory.c_str(), W_OK) != 0)
    throw Error(ErrorKind::Usage, path,
                "cannot be written: " + directory.string() + " is no directory that can be written to.");
}

void save(Run& run, const std::string& path) {
  check_destination(run, path);
  const keras::File& file = run.file();
  NamedArrays arrays;
  bool has_optimizer = false;
  const auto& table = *run.variables().variables();
  for (size_t i = 0; i < table.size(); ++i) {
    const Variable& v = table.at(i);
    if (v.source.empty()) continue;
    has_optimizer |= v.role == Role::Slot || v.role == Role::Step;
    arrays.emplace_back(v.source, as_in_file(file, v, source_array(run, i)));
  }
  if (!has_optimizer && file.keras3 && file.format == ".keras" && run.can_train() && run.iterations() > 0)
    add_fresh_optimizer(run, arrays);
  if (file.format == ".keras")
    write_keras(file.path, arrays, path);
  else
    write_keras_h5(file.path, arrays, path);
}

void save_variables(const std::string& source, const OpenOptions& which,
                    const std::map<std::string, at::Tensor>& values, const std::string& path) {
  auto program = open_program(source, which);
  const Variables& table = *program->variables()->variables();
  NamedArrays arrays;
  for (const auto& [name, value] : values) {
    if (!table.find(name)) throw Error(ErrorKind::Mismatch, source, "holds no variable " + name + ".");
    const Variable& v = table.at(table.index_of(name));
    if (v.source.empty()) continue;
    const at::Tensor& own = program->variables()->tensor(name);
    if (own.sizes() != value.sizes())
      throw Error(ErrorKind::Mismatch, name,
                  "has shape " + to_string(Dims(value.sizes().begin(), value.sizes().end())) + ", the file's has " +
                      to_string(Dims(own.sizes().begin(), own.sizes().end())) + ".");
    arrays.emplace_back(v.source, to_array(to_source(v, value.detach().to(own.scalar_type()))));
  }
  if (!is_keras_file(source)) return write_tensorflow(source, arrays, path);
  check_kind(ending_of(source), path);
  (ending_of(source) == ".keras" ? write_keras : write_keras_h5)(source, arrays, path);
}

}  // namespace midstream
