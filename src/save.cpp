#include "save.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "frontend/keras/canonical.h"
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

}  // namespace

void check_destination(const Run& run, const std::string& path) {
  const std::string& format = run.file().format;
  if (ending_of(path) != format)
    throw Error(ErrorKind::Usage, path, "cannot be written: the model came from a " + format + " file.",
                "Give a name that ends in " + format + ".");
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

}  // namespace midstream
