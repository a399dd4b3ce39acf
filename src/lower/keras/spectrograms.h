// The windows of Fourier transforms.
#pragma once

#include "lower/keras/layer.h"

namespace midstream::keras {

// TensorFlow's "hann" or "hamming" window in the middle of n zeros. Its "periodic" windows are so for even lengths
// alone.
std::vector<double> tensorflow_window(const Layer& l, const std::string& name, int64_t length, int64_t n);

}  // namespace midstream::keras
