#include "train/checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>
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

std::vector<std::pair<const char*, std::string>> entries(const DataOrder& order) {
  return {{"samples", std::to_string(order.samples)},
          {"batch size", std::to_string(order.batch_size)},
          {"shuffle", order.shuffle ? "yes" : "no"},
          {"seed", std::to_string(order.seed)}};
}

int64_t whole_number(const std::string& path, const char* key, const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw Error(ErrorKind::BadFile, path, fmt::format("its '{}' is '{}', which is not a count.", key, text));
  return value;
}

// The batches that a checkpoint's loop had still before it are those of `order`. A checkpoint that was written outside
// of a loop names none.
void check_order(const std::string& path, const std::map<std::string, std::string>& metadata, const DataOrder& order) {
  for (const auto& [key, now] : entries(order)) {
    const auto then = metadata.find(key);
    if (then == metadata.end() || then->second == now) continue;
    throw Error(ErrorKind::Mismatch, path,
                fmt::format("was written with {} {}, now it is {}: the batches would be others.", key, then->second, now),
                "Resume with the same data and options, or start anew with another folder of checkpoints.");
  }
}

}  // namespace

void write_checkpoint(const std::string& path, const Trainer& trainer, const DataPosition& position,
                      const std::optional<DataOrder>& order) {
  at::NoGradGuard no_grad;
  NamedArrays arrays;
  VariableStore& store = *trainer.variables();
  const Variables& table = *store.variables();
  for (size_t i = 0; i < table.size(); ++i)
    arrays.emplace_back(table.at(i).name, to_array(to_source(table.at(i), store.tensor(i))));
  std::map<std::string, std::string> metadata{{"format", "midstream checkpoint 1"},
                                              {"epoch", std::to_string(position.epoch)},
                                              {"batch", std::to_string(position.batch)},
                                              {"history", to_json(trainer.history).dump()}};
  if (order)
    for (auto& [key, value] : entries(*order)) metadata[key] = value;
  write_safetensors(path, arrays, metadata);
}

DataPosition read_checkpoint(const std::string& path, Trainer& trainer, const std::optional<DataOrder>& order) {
  at::NoGradGuard no_grad;
  SafetensorsFile file = SafetensorsFile::open(path);
  auto metadata = [&](const char* key) {
    auto it = file.metadata().find(key);
    if (it == file.metadata().end())
      throw Error(ErrorKind::Mismatch, path, fmt::format("is not a checkpoint of midstream: it has no '{}'.", key));
    return it->second;
  };
  const DataPosition position{whole_number(path, "epoch", metadata("epoch")),
                              whole_number(path, "batch", metadata("batch"))};
  if (order) check_order(path, {file.metadata().begin(), file.metadata().end()}, *order);
  History history;
  try {
    history = to_history(json::parse(metadata("history")));
  } catch (const json::exception& error) {
    throw Error(ErrorKind::BadFile, path, fmt::format("its history cannot be read: {}.", error.what()));
  }
  VariableStore& store = *trainer.variables();
  Variables& table = *store.variables();
  // All is checked before the first tensor changes.
  for (const auto& [name, entry] : file.entries()) {
    const Variable* variable = table.find(name);
    if (!variable && name.starts_with("metrics/")) continue;
    if (!variable)
      throw Error(ErrorKind::Mismatch, path, fmt::format("holds '{}', which the model does not have.", name));
    if (variable->source_dims != entry.shape || variable->dtype != entry.dtype)
      throw Error(ErrorKind::Mismatch, path,
                  fmt::format("holds '{}' as {}{}, the model has {}{}.", name, to_string(entry.dtype),
                              to_string(entry.shape), to_string(variable->dtype), to_string(variable->source_dims)));
  }
  for (const Variable& v : table)
    if (v.role != Role::Metric && !file.contains(v.name))
      throw Error(ErrorKind::Mismatch, path, fmt::format("lacks '{}' of the model.", v.name));
  for (const auto& [name, entry] : file.entries()) {
    if (!table.find(name)) {  // of a metric: made when the first batch comes
      Variable v;
      v.name = name;
      v.dtype = entry.dtype;
      v.source_dims = entry.shape;
      v.role = Role::Metric;
      table.add(std::move(v));
    }
    store.tensor(name).detach().copy_(from_source(*table.find(name), to_tensor(file.read(name))));
  }
  trainer.history = std::move(history);
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
