#include "train/checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/safetensors.h"
#include "libtorch/convert.h"

namespace midstream {

namespace {

using nlohmann::json;

json to_json(const History& history) {
  json epochs = json::array();
  for (const Logs& logs : history.epochs) {
    json entries = json::array();
    for (const auto& [name, value] : logs) entries.push_back({name, fmt::format("{:a}", value)});
    epochs.push_back(std::move(entries));
  }
  return epochs;
}

History to_history(const json& epochs) {
  History history;
  for (const json& entries : epochs) {
    Logs logs;
    for (const json& e : entries) logs.emplace_back(e.at(0), std::strtod(e.at(1).get<std::string>().c_str(), nullptr));
    history.epochs.push_back(std::move(logs));
  }
  return history;
}

}  // namespace

void write_checkpoint(const std::string& path, const Trainer& trainer, const DataPosition& position) {
  at::NoGradGuard no_grad;
  NamedArrays arrays;
  VariableStore& store = *trainer.variables();
  const Variables& table = *store.variables();
  for (size_t i = 0; i < table.size(); ++i)
    arrays.emplace_back(table.at(i).name, to_array(to_source(table.at(i), store.tensor(i))));
  write_safetensors(path, arrays,
                    {{"format", "midstream checkpoint 1"},
                     {"epoch", std::to_string(position.epoch)},
                     {"batch", std::to_string(position.batch)},
                     {"history", to_json(trainer.history).dump()}});
}

DataPosition read_checkpoint(const std::string& path, Trainer& trainer) {
  at::NoGradGuard no_grad;
  SafetensorsFile file = SafetensorsFile::open(path);
  auto metadata = [&](const char* key) {
    auto it = file.metadata().find(key);
    if (it == file.metadata().end())
      throw Error(ErrorKind::BadFile, path, fmt::format("is no checkpoint of midstream: it has no '{}'.", key));
    return it->second;
  };
  DataPosition position{std::stoll(metadata("epoch")), std::stoll(metadata("batch"))};
  VariableStore& store = *trainer.variables();
  Variables& table = *store.variables();
  for (const auto& [name, entry] : file.entries()) {
    const Variable* variable = table.find(name);
    if (!variable && name.starts_with("metrics/")) {  // made when the first batch comes
      Variable v;
      v.name = name;
      v.dtype = entry.dtype;
      v.source_dims = entry.shape;
      v.role = Role::Metric;
      variable = &table.add(std::move(v));
    }
    if (!variable)
      throw Error(ErrorKind::Mismatch, path, fmt::format("holds '{}', which the model does not have.", name));
    if (variable->source_dims != entry.shape || variable->dtype != entry.dtype)
      throw Error(ErrorKind::Mismatch, path,
                  fmt::format("holds '{}' as {}{}, the model has {}{}.", name, to_string(entry.dtype),
                              to_string(entry.shape), to_string(variable->dtype), to_string(variable->source_dims)));
    store.tensor(name).detach().copy_(from_source(*variable, to_tensor(file.read(name))));
  }
  for (const Variable& v : table)
    if (v.role != Role::Metric && !file.contains(v.name))
      throw Error(ErrorKind::Mismatch, path, fmt::format("lacks '{}' of the model.", v.name));
  trainer.history = to_history(json::parse(metadata("history")));
  return position;
}

std::string checkpoint_path(const std::string& folder, int64_t step) {
  return fmt::format("{}/step-{:09}.safetensors", folder, step);
}

std::optional<std::string> newest_checkpoint(const std::string& folder) {
  std::optional<std::string> newest;
  int64_t best = -1;
  if (!std::filesystem::is_directory(folder)) return newest;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    long long step = -1;
    char rest[16] = "";
    if (std::sscanf(entry.path().filename().c_str(), "step-%lld.%15s", &step, rest) != 2) continue;
    if (std::string(rest) != "safetensors" || step <= best) continue;
    best = step;
    newest = entry.path().string();
  }
  return newest;
}

}  // namespace midstream
