// midstream's own operators: what aten cannot say exactly. Each family is one file in ops/ that defines schemas and
// kernels on `library` (namespace "midstream") and the shape rules of those that have no meta kernel (a composite of
// aten calls needs no rule). Registered explicitly, once, by libtorch_dialect().
#pragma once

#include <torch/library.h>

#include "libtorch/shape_rules.h"

namespace midstream {

void register_host_ops(torch::Library& library, ShapeRules& rules);
void register_image_ops(torch::Library& library, ShapeRules& rules);
void register_normalization_ops(torch::Library& library, ShapeRules& rules);
void register_projective_ops(torch::Library& library, ShapeRules& rules);
void register_random_ops(torch::Library& library, ShapeRules& rules);
void register_recurrent_ops(torch::Library& library, ShapeRules& rules);
void register_scalar_ops(torch::Library& library, ShapeRules& rules);
void register_text_ops(torch::Library& library, ShapeRules& rules);
// Other families: declare them here and call them in register_own_ops (ops.cpp), alphabetically.

void register_own_ops(torch::Library& library, ShapeRules& rules);

}  // namespace midstream
