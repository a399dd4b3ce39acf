// TensorFlow's stateless random ops. A seed is an int64 tensor of two numbers; the same seed and shape give the same
// bits as TensorFlow. A null seed (the file has none to follow) draws from PyTorch's generator.
#pragma once

#include "graph/builder.h"

namespace midstream::math {

// The state [seed, counter] of a Keras SeedGenerator -> the seed that Keras hands to TensorFlow.
Value seed_of_keras(Builder& b, Value state);

Value random_uniform(Builder& b, const Ints& shape, Value seed, DType dtype);  // [0, 1)
Value random_normal(Builder& b, const Ints& shape, Value seed, DType dtype);   // mean 0, deviation 1
// x / (1 - rate) where uniform(noise_shape) >= rate, 0 elsewhere; 0 <= rate < 1. No noise_shape: x's own.
Value dropout(Builder& b, Value x, double rate, const Ints& noise_shape, Value seed);
// The same for whole channels of x [N, C, spatial...]. The bits do not depend on where the channels are: N * C are
// drawn.
Value channel_dropout(Builder& b, Value x_ncs, double rate, Value seed);

// Whether anything in the block, or in a block inside it, draws random numbers.
bool draws_numbers(const Block& block);

}  // namespace midstream::math
