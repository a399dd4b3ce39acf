// PyTorch's dispatcher as a Dialect: every aten operator, and midstream's own. No PyTorch header here.
#pragma once

#include "graph/dialect.h"

namespace midstream {

// Thread-safe; the first call registers midstream's own operators.
const Dialect& libtorch_dialect();

}  // namespace midstream
