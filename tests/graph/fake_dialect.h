// A Dialect of some twenty operators with their shape rules, so that the graph room is tested without PyTorch.
#pragma once

#include "graph/dialect.h"

namespace midstream {

const Dialect& fake_dialect();

}  // namespace midstream
