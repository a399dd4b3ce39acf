// Repeated code: one class for a block that comes several times, nn.Sequential for blocks in a row.
#pragma once

#include "emit/code.h"

namespace midstream::emit {

void find_blocks(Program& program);
void join_rows(Program& program);

}  // namespace midstream::emit
