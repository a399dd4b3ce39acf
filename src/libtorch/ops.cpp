#include "libtorch/ops.h"

namespace midstream {

void register_own_ops(torch::Library& library, ShapeRules& rules) {
  register_host_ops(library, rules);
  register_image_ops(library, rules);
  register_normalization_ops(library, rules);
  register_projective_ops(library, rules);
  register_random_ops(library, rules);
  register_recurrent_ops(library, rules);
  register_scalar_ops(library, rules);
  register_text_ops(library, rules);
}

}  // namespace midstream
