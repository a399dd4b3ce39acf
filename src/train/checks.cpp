#include "train/checks.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace midstream {

Batch Arrangement::apply(const Batch& batch) const {
  Batch out;
  for (size_t i : x) out.x.push_back(batch.x.at(i));
  for (size_t i : y) out.y.push_back(batch.y.at(i));
  out.sample_weight = batch.sample_weight;
  return out;
}

namespace {

std::vector<std::string> names_of(const std::vector<Dataset::Column>& columns) {
  std::vector<std::string> names;
  for (const auto& c : columns) names.push_back(c.name.empty() ? "(unnamed)" : c.name);
  return names;
}

// Positions of the wanted names among the columns. One unnamed column stands for the one wanted.
std::vector<size_t> match(const std::vector<Dataset::Column>& columns, const std::vector<std::string>& wanted,
                          const char* kind) {
  if (columns.size() == 1 && wanted.size() == 1 && columns[0].name.empty()) return {0};
  std::vector<size_t> order;
  for (const std::string& name : wanted) {
    auto it = std::find_if(columns.begin(), columns.end(), [&](const auto& c) { return c.name == name; });
    if (it == columns.end()) {
      throw Error(ErrorKind::BadData, "",
                  fmt::format("has no {0} array for '{1}': it holds {2}.", kind, name,
                              columns.empty() ? "none" : fmt::format("{}", fmt::join(names_of(columns), ", "))),
                  fmt::format("Name the arrays '{}:{}'.", kind, fmt::join(wanted, fmt::format("', '{}:", kind))));
    }
    order.push_back(static_cast<size_t>(it - columns.begin()));
  }
  return order;
}

bool any_nan(const at::Tensor& t) {
  if (!t.is_floating_point() || t.numel() == 0) return false;
  constexpr int64_t kRows = 4096;
  for (int64_t first = 0; first < t.size(0); first += kRows)
    if (at::isnan(t.slice(0, first, std::min(t.size(0), first + kRows))).any().item<bool>()) return true;
  return false;
}

int64_t first_nan_row(const at::Tensor& t) {
  for (int64_t row = 0; row < t.size(0); ++row)
    if (at::isnan(t[row]).any().item<bool>()) return row;
  return -1;
}

void check_nan(const at::Tensor& t, const std::string& name) {
  if (any_nan(t))
    throw Error(ErrorKind::BadData, name, fmt::format("holds NaN, first in sample {}.", first_nan_row(t)),
                "Remove these samples or replace the values; nothing was trained.");
}

}  // namespace

Arrangement arrange(const Dataset& data, const Trainer& trainer, bool targets) {
  if (data.samples() == 0) throw Error(ErrorKind::BadData, "", "holds 0 samples.");
  Arrangement out;
  std::vector<std::string> inputs;
  for (const Input& i : trainer.forward().inputs) inputs.push_back(i.name);
  out.x = match(data.inputs(), inputs, "x");
  if (!targets) return out;
  const std::vector<bool> wanted = keras::wanted_targets(trainer.file());
  std::vector<std::string> outputs;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i]) outputs.push_back(trainer.file().model.output_names[i]);
  out.y = match(data.targets(), outputs, "y");
  return out;
}

void check_inputs(const Dataset& data, const Arrangement& arrangement, const Trainer& trainer) {
  at::NoGradGuard no_grad;
  trainer.fit_inputs(arrangement.apply(data.slice(0, 1)).x);  // shapes
  for (size_t k = 0; k < arrangement.x.size(); ++k)
    check_nan(data.column(false, arrangement.x[k]), "x:" + trainer.forward().inputs[k].name);
}

void check_targets(const Dataset& data, const Arrangement& arrangement, Trainer& trainer) {
  at::NoGradGuard no_grad;
  Trainer::Step& step = trainer.step_for(arrangement.apply(data.slice(0, 1)));  // shapes
  const auto& names = trainer.file().model.output_names;
  size_t next = 0;
  for (size_t i = 0; i < step.data.targets.size(); ++i) {
    if (!step.data.targets[i]) continue;
    const at::Tensor y = data.column(true, arrangement.y[next++]);
    const std::string name = "y:" + names[i];
    check_nan(y, name);
    for (const auto& classes : step.graph.classes) {
      if (classes.output != i) continue;
      at::Tensor bad = at::logical_or(at::lt(y, 0), at::ge(y, classes.count));
      if (classes.ignored) bad = at::logical_and(bad, at::ne(y, *classes.ignored));
      if (!bad.any().item<bool>()) continue;
      const at::Tensor value = y.masked_select(bad)[0];
      throw Error(ErrorKind::BadData, name,
                  fmt::format("holds the label {} in sample {}, the model has the classes 0 to {}.",
                              value.item<double>(), at::nonzero(bad)[0][0].item<int64_t>(), classes.count - 1),
                  "Nothing was trained.");
    }
  }
}

Arrangement checked(const Dataset& data, Trainer& trainer) {
  try {
    Arrangement arrangement = arrange(data, trainer, true);
    check_inputs(data, arrangement, trainer);
    check_targets(data, arrangement, trainer);
    return arrangement;
  } catch (const Error& e) {
    throw e.at(data.name());
  }
}

}  // namespace midstream
