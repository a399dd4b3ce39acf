// Lowerings of the user's own classes and functions, by the names that their files give them. From C++ with these
// functions (midstream/midstream.h includes them); from Python with midstream.register. A name that is registered again
// gets the new lowering. Not to be called while a file is being opened in another thread.
//
//   midstream::register_layer("my_package>Scale", [](keras::Layer& l, const keras::Call& call) -> keras::Tensors {
//     Value gamma = l.weight("gamma", {l.integer("units")});     // in the order in which Keras created the weights
//     return {{l.b.mul(call.one().value, gamma), {}}};
//   });
#pragma once

#include <string>

#include "lower/keras/layer.h"
#include "lower/keras/training.h"

namespace midstream {

// `name`: "package>Name" of keras.saving.register_keras_serializable; the bare class name of a class without a package.
// Throws Error(Usage) for the name of one of Keras' own layers.
void register_layer(const std::string& name, keras::LayerFn fn);
// The name of a function, or of a class as above.
void register_activation(const std::string& name, keras::ActivationFn fn);
void register_loss(const std::string& name, keras::LossFn fn);

}  // namespace midstream
