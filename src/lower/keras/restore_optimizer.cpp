// Which array of the file is which slot: the optimizer's rule says what slots there are, frontend/keras finds them.
#include "frontend/keras/canonical.h"
#include "lower/keras/lower_model.h"
#include "lower/keras/optimizer_graphs.h"

namespace midstream::keras {

namespace {

std::vector<std::vector<TrainableWeight::Slot>> runs_in_file(const json& optimizer, const TrainedVariable& of) {
  std::vector<std::vector<TrainableWeight::Slot>> out;
  for (const auto& run : slot_runs(optimizer, of)) {
    out.emplace_back();
    for (const auto& slot : run) out.back().push_back({slot.name, slot.dims.value_or(of.dims)});
  }
  // SGD without a momentum has slots in some versions.
  if (out.empty() && optimizer.at("class_name") == "SGD") out.push_back({{"momentum", of.dims}});
  return out;
}

}  // namespace

void restore_optimizer(File& file, const LayerHost& host, const Variables& variables) {
  if (!file.optimizer || !file.compile.is_object() || file.compile.at("optimizer").is_null()) return;
  const json& optimizer = file.compile.at("optimizer");
  const auto in_file = [&](const std::vector<std::string>& names) {
    std::vector<TrainableWeight> weights;
    for (const std::string& name : names) {
      const Variable& v = *variables.find(name);
      if (!v.file_layout) {
        weights.push_back(
            {v.source, host.file_name(name), v.source_dims, runs_in_file(optimizer, {name, v.source_dims})});
        continue;
      }
      // The optimizer has a slot for each array of the file.
      const FileLayout& layout = *v.file_layout;
      Dims part = v.source_dims;
      if (layout.sources.size() > 1)
        part[static_cast<size_t>(layout.axis)] /= static_cast<int64_t>(layout.sources.size());
      part = midstream::apply(inverse(layout.from_file), part);
      for (size_t i = 0; i < layout.sources.size(); ++i)
        weights.push_back({layout.sources[i], layout.names[i], part, runs_in_file(optimizer, {name, part})});
    }
    return weights;
  };
  resolve_slots(file, in_file(trainable_variables(host, variables)), in_file(unfrozen_variables(host, variables)));
}

}  // namespace midstream::keras
