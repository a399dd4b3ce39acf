// The one list of passes. Taking branches makes types better known, so sizes are folded once more after it; the second
// cse joins what has become equal when permutes slid together.
#include "passes/pass_manager.h"

namespace midstream {

const std::vector<Pass>& pipeline() {
  static const std::vector<Pass> kPasses{
      {"fold_ints", fold_ints},
      {"fold_regions", fold_regions},
      {"fold_sizes", fold_ints},
      {"cse", cse},
      {"cancel_permutes", cancel_permutes},
      {"cse_permutes", cse},
  };
  return kPasses;
}

}  // namespace midstream
