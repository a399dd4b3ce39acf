// The one list of passes. Branches are taken before types are inferred anew, because a taken branch is known better than
// the join of both; sizes are folded again after that; the second cse joins the permutes that have slid together.
#include "passes/pass_manager.h"

namespace midstream {

const std::vector<Pass>& pipeline() {
  static const std::vector<Pass> kPasses{
      {"fold_ints", fold_ints},
      {"fold_regions", fold_regions},
      {"infer_types", infer_types},
      {"fold_sizes", fold_ints},
      {"cse", cse},
      {"cancel_permutes", cancel_permutes},
      {"cse_permutes", cse},
  };
  return kPasses;
}

}  // namespace midstream
