#include "save.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "convert.h"
#include "frontend/keras/canonical.h"
#include "frontend/keras/weights.h"
#include "frontend/tensorflow/source.h"
#include "libtorch/convert.h"
#include "lower/keras/config.h"
#include "lower/keras/optimizer_graphs.h"
#include "lower/keras/optimizer_rule.h"
#include "writeback/container.h"

namespace midstream {
namespace {

namespace fs = std::filesystem;

Array source_array(Run& run, size_t index) {
  const Variable& v = run.variables().variables()->at(index);
  return to_array(to_source(v, run.variables().tensor(index)));
}

// The value of a variable at its place in the file, or at its places.
void add_array(NamedArrays& arrays, const Variable& v, Array value) {
  if (!v.file_layout) {
    arrays.emplace_back(v.source, std::move(value));
    return;
  }
  for (auto& part : v.file_layout->split(value)) arrays.push_back(std::move(part));
}

// The step counter and the learning rate have in memory the dtype that we compute with, in the file their own.
Array as_in_file(const keras::File& file, const Variable& v, Array array) {
  if (v.role != Role::Step || !file.optimizer) return array;
  const keras::OptimizerState& state = *file.optimizer;
  for (const auto& from : {state.iterations_array, state.learning_rate, state.step_counter, state.dynamic_scale}) {
    if (!from || from->source != v.source) continue;
    return cast(array, from->array.dtype()).reshaped(from->array.shape());
  }
  return array;
}

// Values that the file has at a second place.
void add_copies(const std::vector<std::pair<std::string, std::string>>& copies, NamedArrays& arrays) {
  std::map<std::string, size_t> at;
  for (size_t i = 0; i < arrays.size(); ++i) at[arrays[i].first] = i;
  for (const auto& [copy, original] : copies)
    if (const auto found = at.find(original); found != at.end()) {
      Array array = arrays[found->second].second;
      arrays.emplace_back(copy, std::move(array));
    }
}

bool is_legacy(const nlohmann::json& optimizer) { return keras::era_of(optimizer.at("config")) == keras::Era::Legacy; }

// Has the run slots that its file has no places for: was the model compiled, but never trained, when it was saved?
// OptimizerV2 stays as it is in a .keras archive, where Keras never keeps it.
bool has_new_slots(Run& run) {
  const keras::File& file = run.file();
  if (!run.can_train() || run.iterations() == 0) return false;
  const auto& optimizer = file.compile.at("optimizer");
  if (file.format == ".keras" && is_legacy(optimizer)) return false;
  // A file whose configuration names no optimizer has no place for one. A file of weights has: Keras 3 reads the
  // optimizer's arrays from it, Keras 2 leaves a group that it does not know alone.
  if (file.optimizer_given && !file.weights_only) return false;
  for (const Variable& v : *run.variables().variables())
    if (v.role == Role::Slot && !v.source.empty()) return false;
  return true;
}

// What "weight_names" of the layer calls the array at a place: "dense_1/kernel:0" for
// "/model_weights/dense_1/dense_1/kernel:0".
std::string name_in_file(const std::string& source) {
  const size_t layer = source.find('/', source.starts_with("/model_weights/") ? 15 : 1);
  return layer == std::string::npos ? source : source.substr(layer + 1);
}

// The arrays that Keras 3's LossScaleOptimizer has before those of the optimizer in it: a counter and a rate, which it
// never uses, and its own two. Returns how many.
size_t add_wrapper(Run& run, NamedArrays& arrays, std::vector<std::string>& names) {
  const keras::File& file = run.file();
  const auto& table = *run.variables().variables();
  std::string prefix = "loss_scale_optimizer/";
  if (file.optimizer && !file.optimizer->wrapper.empty()) {
    const std::string& name = file.optimizer->wrapper[0].name;
    prefix = name.substr(0, name.rfind('/') + 1);
  }
  const DType rate = table.find("optimizer/dynamic_scale")->dtype;
  for (const char* name : {"iteration", "learning_rate", "step_counter", "dynamic_scale"}) {
    const std::string of = std::string("optimizer/") + name;
    const bool own = names.size() >= 2;
    std::byte* bytes = nullptr;
    Array array =
        own ? source_array(run, table.index_of(of)) : Array::allocate(names.empty() ? DType::Int64 : rate, {}, &bytes);
    if (names.size() == 3) array = cast(array, DType::Float32);
    arrays.emplace_back(
        file.tree ? fmt::format("/optimizer/vars/{}", names.size()) : "/optimizer_weights/" + prefix + name,
        std::move(array));
    names.push_back(prefix + name);
  }
  return names.size();
}

// The optimizer in the order in which Keras reads it, at places as Keras names them: optimizer/vars/0, 1, ... in an
// archive, anything that "weight_names" lists in an .h5 file. Returns that list.
std::vector<std::string> add_new_optimizer(Run& run, NamedArrays& arrays) {
  const keras::File& file = run.file();
  const auto& table = *run.variables().variables();
  const auto& optimizer = file.compile.at("optimizer");
  const std::string group = "/optimizer_weights/";
  std::string counter = is_legacy(optimizer) ? "iter:0" : "iteration:0";
  if (const Variable* v = table.find("optimizer/iteration"); v && v->source.starts_with(group))
    counter = v->source.substr(group.size());
  const std::string prefix = counter.substr(0, counter.rfind('/') + 1);
  std::vector<std::string> names;
  const bool wrapped = keras::has(optimizer.at("config"), "loss_scale");
  size_t before = 0;  // arrays of a LossScaleOptimizer, which has those of the optimizer in it once more
  std::string vars = "/optimizer/vars/";
  auto add = [&](const std::string& variable, const std::string& name) {
    if (!table.find(variable)) throw Error(ErrorKind::Internal, variable, "is no variable of the optimizer.");
    const size_t index = table.index_of(variable), n = names.size() - before;
    Array array = as_in_file(file, table.at(index), source_array(run, index));
    if (file.tree && wrapped) arrays.emplace_back(fmt::format("/optimizer/vars/{}", names.size()), array);
    arrays.emplace_back(file.tree ? fmt::format("{}{}", vars, n) : group + name, std::move(array));
    names.push_back(name);
  };
  if (wrapped && file.tree) {
    vars = "/optimizer/inner_optimizer/vars/";
    if (const Variable* v = table.find("optimizer/iteration"); v && !v->source.empty())
      vars = v->source.substr(0, v->source.rfind('/') + 1);
  }
  if (wrapped && file.keras3) before = add_wrapper(run, arrays, names);
  add("optimizer/iteration", counter);
  if (file.keras3 && table.find("optimizer/learning_rate")) add("optimizer/learning_rate", prefix + "learning_rate");
  auto add_slot = [&](const std::string& weight, const std::string& slot) {
    std::string name = weight + "_" + slot;
    std::replace(name.begin(), name.end(), '/', '_');
    const std::string variable = run.slot_name(weight, slot);
    if (!variable.empty()) return add(variable, prefix + name);
    // What Keras keeps and the rule does not use: SGD's momentum of 0.
    add(weight, prefix + name);
    std::byte* bytes = nullptr;
    const Array zeros = Array::allocate(arrays.back().second.dtype(), arrays.back().second.shape(), &bytes);
    for (size_t i = arrays.size() - (wrapped && file.tree ? 2 : 1); i < arrays.size(); ++i) arrays[i].second = zeros;
  };
  // One slot of all weights, of each array that the file has for a weight, in the order that the version wants.
  auto add_group = [&](const std::string& slot) {
    const size_t first = arrays.size();
    for (const std::string& weight : run.trainable()) add_slot(weight, slot);
    std::vector<std::pair<std::string, Array>> parts;  // name of the weight's array, slot
    for (size_t i = 0; i < run.trainable().size(); ++i) {
      const Variable& v = *table.find(run.trainable()[i]);
      const Array& value = arrays[first + i].second;
      if (v.file_layout) {
        const auto split = v.file_layout->split(value);
        for (size_t p = 0; p < split.size(); ++p) parts.emplace_back(v.file_layout->names[p], split[p].second);
      } else {
        parts.emplace_back(name_in_file(v.source), value);
      }
    }
    if (keras::sorts_by_name(file.version))
      std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    arrays.resize(first);
    names.resize(names.size() - run.trainable().size());
    for (const auto& [of, value] : parts) {
      std::string name = of + "_" + slot;
      std::replace(name.begin(), name.end(), '/', '_');
      names.push_back(prefix + name);
      arrays.emplace_back(group + names.back(), value);
    }
  };
  std::map<std::string, keras::SlotRuns> runs_of;
  size_t runs = 0;
  for (const std::string& weight : run.trainable()) {
    runs_of[weight] = keras::slot_runs(optimizer, {weight, table.find(weight)->source_dims});
    runs = std::max(runs, runs_of[weight].size());
  }
  for (size_t k = 0; k < runs; ++k) {
    const auto& slots = runs_of.begin()->second.at(k);  // of every weight, in the legacy optimizers
    if (is_legacy(optimizer) && file.format == ".h5") {
      for (const auto& slot : slots) add_group(slot.name);
    } else if (is_legacy(optimizer)) {
      for (const auto& slot : slots)
        for (const std::string& weight : run.trainable()) add_slot(weight, slot.name);
    } else {
      for (const std::string& weight : run.trainable())
        for (const auto& slot : runs_of[weight].at(k)) add_slot(weight, slot.name);
    }
  }
  // Nadam's product, which tf_keras does not save.
  if (file.keras3)
    for (const Variable& v : table)
      if (v.role == Role::Slot && v.name.starts_with("optimizer/") && v.name.find('/', 10) == std::string::npos)
        add(v.name, prefix + v.name.substr(10));
  return names;
}

// ".h5" for all names of HDF5 files.
std::string ending_of(const std::string& path) {
  std::string ending = fs::path(path).extension().string();
  return ending == ".hdf5" ? ".h5" : ending;
}

// A directory of PyTorch source: what has no ending. (From Keras nothing else is written as a directory.)
bool is_package(const std::string& path) { return ending_of(path).empty(); }

void check_kind(const std::string& format, const std::string& path, const std::string& besides = "") {
  if (ending_of(path) != format)
    throw Error(ErrorKind::Usage, path, "cannot be written: the model came from a " + format + " file.",
                "Give a name that ends in " + format + besides + ".");
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

void check_kind_of_run(const Run& run, const std::string& path) {
  if (!is_package(path))
    check_kind(run.file().format, path, ", or one without ending for a directory of PyTorch source");
}

void check_folder(const std::string& path) {
  fs::path destination = fs::absolute(path).lexically_normal();
  if (!destination.has_filename()) destination = destination.parent_path();  // "package/"
  const fs::path directory = destination.parent_path();
  if (!fs::is_directory(directory) || ::access(directory.c_str(), W_OK) != 0)
    throw Error(ErrorKind::Usage, path,
                "cannot be written: " + directory.string() + " is no directory that can be written to.");
}

}  // namespace

void check_destination(Run& run, const std::string& path) {
  check_kind_of_run(run, path);
  check_folder(path);
  if (is_package(path)) convert(run.forward_graph(), run.shared_variables(), "");
}

void save(Run& run, const std::string& path) {
  check_kind_of_run(run, path);
  check_folder(path);
  if (is_package(path)) return write_package(convert_with_training(run), path);
  const keras::File& file = run.file();
  NamedArrays arrays;
  const bool new_slots = has_new_slots(run);
  const auto& table = *run.variables().variables();
  for (size_t i = 0; i < table.size(); ++i) {
    const Variable& v = table.at(i);
    if (v.source.empty() || (new_slots && v.role == Role::Step)) continue;
    add_array(arrays, v, as_in_file(file, v, source_array(run, i)));
  }
  add_copies(keras::copied_arrays(file.model), arrays);
  std::vector<std::string> optimizer;
  if (new_slots)
    optimizer = add_new_optimizer(run, arrays);
  else if (file.optimizer)
    add_copies(file.optimizer->copies, arrays);
  if (file.format == ".keras")
    write_keras(file.path, arrays, path);
  else
    write_keras_h5(file.path, arrays, path, file.tree ? std::vector<std::string>{} : optimizer);
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
    add_array(arrays, v, to_array(to_source(v, value.detach().to(own.scalar_type()))));
  }
  if (!is_keras_file(source)) return write_tensorflow(source, arrays, path);
  check_kind(ending_of(source), path);
  add_copies(keras::copied_arrays(keras::read(source, which.keras).model), arrays);
  if (ending_of(source) == ".keras") return write_keras(source, arrays, path);
  write_keras_h5(source, arrays, path);
}

}  // namespace midstream
