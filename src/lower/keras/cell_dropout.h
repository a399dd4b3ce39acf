// A recurrent cell over a sequence with the dropouts of its config.
#pragma once

#include "lower/keras/recurrent.h"

namespace midstream::keras {

math::Recurrence run_cell(CellLayer& cell, const math::Sequence& sequence);

}  // namespace midstream::keras
