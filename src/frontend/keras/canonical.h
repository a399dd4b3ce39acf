// The canonical form of what Keras files say. Every spelling of every version is brought to that of Keras 3, and where
// versions *compute* differently under the same words, the difference becomes an explicit entry. Lowerings read these
// and never ask for a version.
//
// LAYERS
//   class_name      Keras 3's; "Functional" for "Model"; Keras 1 names translated ("Convolution2D" -> "Conv2D");
//                   keras.ops in functional models: "ops.Multiply". Inner layers (entries layer, forward_layer,
//                   backward_layer, cell, cells) are canonical {"class_name", "config"} too.
//   every config    dtype: a policy's name ("float32", "mixed_float16"), always there; trainable: always there.
//                   Activations and other functions: a name, or {"class_name", "config"}. Regularizers and constraints:
//                   null or {"class_name", "config"}. Entries about the input's shape are dropped (InputLayer keeps
//                   "batch_shape", with null where unknown), and so are those without influence on results
//                   (implementation, time_major=false, build hints). activity_regularizer is there only if not null.
//   activations     "silu" for "swish"; "hard_silu" for "hard_swish"; "hard_sigmoid_keras2": clip(0.2 x + 0.5, 0, 1),
//   what
//                   Keras 1 and 2 mean by "hard_sigmoid".
//   BatchNormalization
//     axis                     one integer
//     variance                 what goes into moving_variance in training: "biased" (Keras 3, tf.keras); "sample"
//     (Keras
//                              1 and external Keras 2: biased * n / (n - (1 + epsilon)), n elements per channel)
//     fused_unbiased_if_rank   ranks of input for which tf.keras took its fused kernel, which stores the unbiased
//                              variance (n / (n - 1)): [4, 5] for float16 and float32 layers of tf.keras, absent
//                              otherwise. For these ranks it wins over `variance`.
//     frozen_runs_inference    false: a layer with trainable=false still normalizes with the batch's statistics in
//                              training (external Keras, Keras 1); absent: true
//   GRU, GRUCell    reset_after: always there
//   LSTM, GRU, SimpleRNN, RNN   zero_output_for_mask, return_sequences, ...: as in Keras 3; absent means Keras 3's
//   default LeakyReLU       negative_slope (Keras 2: alpha) Conv1D, Conv2D, Conv3D, Conv2DTranspose, ConvLSTM2D
//     kernel_flipped   true: written by the Theano backend, whose kernels are turned by 180 degrees; else absent
//     kernel_layout    how Keras 1 has the kernel: "oihw", filters first (dim_ordering "th"); "k1io", Conv1D's with a
//                      second spatial axis of 1; "hwio", Conv2DTranspose's with the filters last; else absent
//   LSTM, GRU, ConvLSTM2D   gates_apart: true where Keras 1 may have the weights gate by gate
//   random layers   seed: an integer only where the stream can be followed (Keras 3); null otherwise
//
// COMPILE  {"optimizer", "losses", "loss_weights", "metrics", "weighted_metrics", "unknown"}; lists have one item per flattened
// output of the model
//   optimizer       {"class_name", "config"}; config: learning_rate: a number, or a schedule {"class_name", "config"};
//                   epsilon etc. always there where an old version's default differs from Keras 3's. Besides:
//     merged_gradients   true: repeated rows of an embedding's gradient are summed first (tf.keras, Keras 1 and 2)
//     rules              "keras3", "tf_keras" (2.11 and later), "optimizer_v2" (tf.keras up to 2.10 and .legacy),
//                        "keras2" (external Keras, Keras 1): whose update formulas
//     decay              of the old optimizers: lr / (1 + decay * iterations); absent when 0
//   unknown         "key=value" of what has no meaning here: refused where training begins
//   losses          null or {"class_name", "config"}: classes only ("mse" -> MeanSquaredError); reduction and name
//   there loss_weights    numbers, 1 where not given; null if the file has none metrics         for each output a list
//   of {"class_name", "config"}; config.name is the name that Keras prints, output's
//                   name included. The class is "accuracy" or "crossentropy" (lower case) where Keras decides by the
//                   data: see resolve_by_shape.
//   A function that is not Keras' own stays {"class_name": its name, "config": {}, "custom": true}.
#pragma once

#include <string>

#include "frontend/keras/model.h"

namespace midstream::keras {

// Which Keras wrote the file.
struct WrittenBy {
  std::string version;  // "2.2.4-tf"; "" when unknown
  int major = 3, minor = 0;
  bool tensorflow = false;   // tf.keras / tf_keras, or Keras 3
  std::string backend = {};  // "tensorflow", "theano", ...; "" where the file does not say
  bool keras3() const { return major >= 3; }
  bool external() const { return !keras3() && !tensorflow; }  // the keras package up to 2.3, any backend
};
WrittenBy written_by(const std::string& version);

// The name of a class that is not Keras' own, "" for Keras' own: "package>Name", or "unregistered>Name" where its user
// gave it no package. `object` is a serialized class, {"module", "class_name", "registered_name", ...}: its module and
// registered name decide, never the class name alone, which a user's class may share with one of Keras'. Files of
// before Keras 2.13 have no module; there the class name alone is known. (Functions are written by their bare name in
// every version: a user's `relu` cannot be told from Keras', by Keras neither.)
std::string user_class(const json& object);

// --- layers
std::string canonical_class(const json& layer, const WrittenBy& by);
// `config` as in the file -> canonical. `where` is for messages.
json canonical_layer_config(const std::string& class_name, const json& config, const WrittenBy& by);
// {"module", "class_name", "config", ...} -> a canonical SourceLayer without calls; models are read whole.
SourceLayer canonical_layer(const json& layer, const WrittenBy& by);
// The model a config describes: {"class_name": "Functional" | "Sequential" | "Model", "config": ...}.
Model canonical_model(const json& model, const WrittenBy& by);
bool is_model_class(const std::string& class_name);
// A serialized model of a class of the user's becomes the plain Functional or Sequential one that its config describes;
// everything else stays as it is, the models inside it too.
void make_plain(json& model, const WrittenBy& by);
// A serialized activation, initializer, ...: name or {"class_name", "config"}.
json canonical_object(const json& object, const WrittenBy& by);
json canonical_activation(const json& activation, const WrittenBy& by);
json canonical_regularizer(const json& regularizer);
json canonical_constraint(const json& constraint);

// --- compile
// `compile` as the file has it: compile_config of a .keras, training_config of an .h5.
json canonical_compile(const json& compile, const Model& model, const WrittenBy& by);
// "accuracy" and "crossentropy", decided as Keras decides: by the shapes of targets and predictions.
std::string resolve_by_shape(const std::string& name, const Dims& y_true, const Dims& y_pred);

// --- optimizer state
// One trainable variable, in the order of Keras' model.trainable_variables.
struct TrainableWeight {
  std::string source;  // FileArray::source
  std::string name;    // FileArray::name; may be empty
  Dims dims;           // in the file's layout
  // Its slots as Keras 3 and tf_keras (2.11 and later) lay them down: a run goes once over the variables and holds all
  // of its slots for each. {"momentum", "velocity"} is one run, interleaved.
  struct Slot {
    std::string name;
    Dims dims;
  };
  std::vector<std::vector<Slot>> runs;
};
// Finds out which array of file.optimizer->all is which slot of which weight; throws Error(Mismatch) if no known layout
// fits. Weights that were never trained stay without slots. `with_frozen`: what would be trainable if no layer were
// frozen; tried where the arrays do not fit the trainable weights.
void resolve_slots(File& file, const std::vector<TrainableWeight>& trainable,
                   const std::vector<TrainableWeight>& with_frozen);

// Keras 1 and the first Keras 2 keep the slots in the order of the weights' names, as strings ("_10" before "_2").
bool sorts_by_name(const std::string& version);

// Python's snake_case of a class name, as Keras makes it: "Conv2D" -> "conv2d", "LeakyReLU" -> "leaky_re_lu".
std::string to_snake_case(const std::string& class_name);
// Throws Error(BadFile) for a configuration of more bytes than any model has: a few of them may inflate to gigabytes.
void check_config_size(uint64_t bytes, const std::string& where);
// JSON as Python writes it: NaN, Infinity and -Infinity become strings. Throws Error(BadFile) for broken JSON, for more
// bytes than check_config_size allows, and for more levels than Python's own parser could read.
json parse_python_json(std::string_view text, const std::string& where);

}  // namespace midstream::keras
