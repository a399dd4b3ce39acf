// Registration of keras.ops.
#pragma once

#include "lower/keras/layer.h"

namespace midstream {
struct Registry;
}

namespace midstream::keras {

// "Add" -> layer "ops.Add", whose inputs keep their dtypes.
void register_operation(Registry& r, const std::string& name, LayerFn fn);

}  // namespace midstream::keras
