// Registration of keras.ops, and of TensorFlow's functions in functional models of tf_keras.
#pragma once

#include "lower/keras/layer.h"

namespace midstream {
struct Registry;
}

namespace midstream::keras {

// "Add" -> layer "ops.Add", whose inputs keep their dtypes.
void register_operation(Registry& r, const std::string& name, LayerFn fn);
// "math.argmax" -> layer "tf.math.argmax": TFOpLambda's function where keras.ops have none like it.
void register_tensorflow_operation(Registry& r, const std::string& name, LayerFn fn);

}  // namespace midstream::keras
