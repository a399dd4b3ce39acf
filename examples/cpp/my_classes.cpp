// Classes and functions of your own for the command line, as a shared library:
//
//   midstream --plugin libmy_classes.so train model.keras ...
//
// What the library registers when it is loaded has the names that the file gives: "package>Name" of
// keras.saving.register_keras_serializable. It is compiled with midstream's headers and linked with nothing: the
// functions are those of the executable that loads it, so both must be of the same version.
#include "lower/own.h"

using namespace midstream;

namespace {

// class Scale(keras.layers.Layer): x * gamma, times `strength` in training.
keras::Tensors scale(keras::Layer& l, const keras::Call& call) {
  l.expect_config({"strength"});
  Builder& b = l.b;
  Value x = call.one().value;
  Value gamma = l.weight("gamma", {b.dims(x).back()});  // weights in the order in which Keras created them
  Value y = b.mul(x, gamma);
  auto stronger = [&] { return Values{b.mul(y, l.number("strength", 1.0))}; };
  return {{b.cond(l.training(), stronger, [&] { return Values{y}; })[0], {}}};
}

// x * exp(-x * x)
Value bump(Builder& b, const keras::json&, Value x) { return b.mul(x, b.unary("aten::exp", b.neg(b.mul(x, x)))); }

// mean((y_true - y_pred)^4) of each sample
keras::Losses fourth_power(Builder& b, const keras::json&, const keras::Rules&, Value y_true, Value y_pred) {
  Value square = b.mul(b.sub(y_true, y_pred), b.sub(y_true, y_pred));
  return {b.mean(b.mul(square, square), {1}), {}};
}

const bool registered = [] {
  register_layer("my_package>Scale", scale);
  register_activation("my_package>bump", bump);
  register_loss("my_package>fourth_power", fourth_power);
  return true;
}();

}  // namespace
