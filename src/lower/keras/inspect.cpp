// See inspect.h.
#include "lower/keras/inspect.h"

#include <algorithm>

namespace midstream::keras {
namespace {

int64_t elements(const WeightTree& tree) {
  int64_t n = 0;
  for (const FileArray& a : tree.vars) n += a.array.size();
  for (const auto& [name, child] : tree.children) n += elements(child);
  return n;
}

void list_layers(const Model& model, const std::string& prefix, bool trainable, std::vector<InspectedLayer>& out) {
  for (const SourceLayer& l : model.layers) {
    InspectedLayer layer;
    layer.path = prefix.empty() ? l.name : prefix + "/" + l.name;
    layer.class_name = l.class_name;
    layer.parameters = l.weights ? elements(*l.weights) : 0;
    layer.trainable = trainable && (l.model ? l.model->trainable : l.config.value("trainable", true));
    layer.calls = static_cast<int>(l.calls.size());
    out.push_back(layer);
    if (l.model) list_layers(*l.model, layer.path, layer.trainable, out);
  }
}

// A seed that is there and null: a random layer whose stream is not in the file.
void fresh_streams(const LoweredModel& m, Inspection& out) {
  for (const Variable& v : *m.graph->variables) out.followed_streams |= v.role == Role::Seed;
  for (const InspectedLayer& l : out.layers)
    if (const LayerRecord* record = m.host->find(l.path)) {
      auto seed = record->config.find("seed");
      const double rate =
          record->config.value("rate", record->config.value("dropout", record->config.value("stddev", 0.0)));
      if (seed != record->config.end() && seed->is_null() && rate > 0) out.fresh_streams.push_back(l.path);
    }
}

// The type of the last value that the first call of each layer made.
void output_types(const Graph& graph, std::vector<InspectedLayer>& layers) {
  for (const auto& node : graph.body.nodes) {
    if (node->origin < 0 || node->outputs.empty()) continue;
    const Origin& origin = graph.origin(*node);
    if (origin.call != 0) continue;
    for (InspectedLayer& l : layers)
      if (origin.path == l.path || origin.path.starts_with(l.path + "/"))
        l.output = to_string(graph.type(node->outputs[0]));
  }
}

void count(const LoweredModel& m, Inspection& out) {
  for (const Variable& v : *m.graph->variables) {
    if (v.role != Role::Weight) continue;
    out.parameters += num_elements(v.source_dims);
    if (v.trainable) out.trainable_parameters += num_elements(v.source_dims);
  }
}

}  // namespace

Inspection inspect(File& file, const Dialect& dialect) {
  Inspection out;
  out.format = file.format;
  out.version = file.version;
  out.model_class = file.model.class_name;
  out.model_name = file.model.name;
  list_layers(file.model, "", file.model.trainable, out.layers);
  if (file.compile.is_object()) {
    out.optimizer = file.compile.at("optimizer");
    out.losses = file.compile.at("losses");
    out.metrics = file.compile.at("metrics");
  }
  for (const std::string& name : file.model.output_names) out.outputs.emplace_back(name, "");
  out.unsupported = unsupported(file.model);
  if (!out.unsupported.empty()) {
    for (const std::string& name : file.model.input_names) out.inputs.emplace_back(name, "");
    for (const InspectedLayer& l : out.layers)
      if (l.path.find('/') == std::string::npos) out.parameters += l.parameters;
    return out;
  }
  try {
    const LoweredModel m = lower(file, dialect);
    for (const Input& input : m.graph->inputs)
      out.inputs.emplace_back(input.name, to_string(m.graph->type(input.value)));
    for (size_t i = 0; i < m.outputs.size(); ++i) out.outputs[i].second = to_string(m.graph->type(m.outputs[i].value));
    output_types(*m.graph, out.layers);
    count(m, out);
    fresh_streams(m, out);
    restore_optimizer(file, *m.host, *m.graph->variables);
    if (file.optimizer) {
      out.iterations = file.optimizer->iterations;
      out.has_slots = !file.optimizer->slots.empty();
    }
  } catch (const Error& e) {
    out.problem = e.what();
  }
  return out;
}

}  // namespace midstream::keras
