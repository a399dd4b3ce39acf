// A whole Keras model into a graph.
//
//   LoweredModel m = lower(file, dialect);            // the predict graph (both modes), with its variables
//   Tensors y = lower_model(b, host, file, inputs);   // the model appended to any graph: a training step, ...
//
// Several graphs of one program share the Variables table: the first lowering creates the weights and binds them to the
// file's arrays, later ones find them there. `file` must outlive the host.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "frontend/keras/canonical.h"
#include "lower/keras/host.h"

namespace midstream::keras {

// Graph inputs with the names, dtypes and shapes of the model's InputLayers, in Keras' order.
Tensors model_inputs(Builder& b, const Model& model);

// Appends the model and everything that belongs to it: layers in topological order, seeds' counters, weights bound to
// the file's arrays. Once per host. The outputs are in Keras' order, with their masks. Throws Error(Unsupported) with
// all that has no lowering before anything is built.
// Fails if `v` is an input of strings, naming what was to take it.
void refuse_strings(Builder& b, Value v, const std::string& what);

Tensors lower_model(Builder& b, LayerHost& host, const File& file, const Tensors& inputs);

struct LoweredModel {
  std::unique_ptr<Graph> graph;  // graph->variables is the shared table
  std::unique_ptr<LayerHost> host;
  Tensors outputs;
  std::vector<std::string> trainable;  // variables in the order of Keras' model.trainable_variables
};
// `variables`: the table to share; null: a new one.
LoweredModel lower(const File& file, const Dialect& dialect, std::shared_ptr<Variables> variables = nullptr);

// Restores the optimizer's slots, once the weights are known: fills file.optimizer->slots.
void restore_optimizer(File& file, const LayerHost& host, const Variables& variables);

// What of a file has no lowering: "keras.Hashing" -> where.
struct Unsupported {
  std::string what;
  std::vector<std::string> where;
};
std::vector<Unsupported> unsupported(const Model& model);
// What to write to register the model's classes that are not Keras' own, in Python; empty: none.
std::string skeletons(const Model& model);

// A model as an inner layer ({"class_name": "Sequential", "config", "keras_version"}):
// TimeDistributed(Sequential(...)).
Tensors lower_inner_model(Layer& outer, const std::string& attribute, const json& model, const Call& call);

}  // namespace midstream::keras
