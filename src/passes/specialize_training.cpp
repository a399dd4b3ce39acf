#include "passes/passes.h"

namespace midstream {

// The leaf itself becomes the constant: its uses stay as they are.
bool specialize_training(Graph& graph, bool training) {
  if (!graph.training) return false;
  ValueInfo& info = graph.info(graph.training);
  info.leaf = LeafKind::Constant;
  info.index = static_cast<int32_t>(graph.constants.size());
  for (Sample& s : info.samples) s.number = training;
  graph.constants.push_back(Array::of(DType::Bool, {}, std::vector<uint8_t>{training}));
  graph.training = Value{};
  return true;
}

}  // namespace midstream
