// Internal to the SavedModel reader: the object graph's part of saved_model.cpp.
#pragma once

#include "formats/saved_model.h"
#include "formats/wire.h"

namespace midstream {

// Messages that contain themselves are followed this deep, as protobuf's own parsers do.
inline constexpr int kMaxDepth = 100;

SavedObjectGraph read_saved_object_graph(const std::string& name, Wire message);
StructuredValue read_structured_value(const std::string& name, Wire message, int depth = 0);

}  // namespace midstream
