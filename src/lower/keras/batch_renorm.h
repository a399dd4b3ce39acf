// BatchNormalization with renorm=True.
#pragma once

#include "lower/keras/layer.h"

namespace midstream::keras {

Tensors batch_renormalization(Layer& l, const Call& call);

}  // namespace midstream::keras
