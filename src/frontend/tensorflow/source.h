// A TensorFlow file as written: graphs, functions, signatures, variables. Nothing is interpreted; what a node means is
// lower/tensorflow's business. One struct for a frozen GraphDef, a SavedModel (TF 1 and 2) and a checkpoint with its
// .meta.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/graphdef.h"
#include "formats/saved_model.h"
#include "formats/tensor_bundle.h"

namespace midstream::tensorflow {

// "node", "node:1", "^node" of graphs; "node:output:1" and "argument" of functions.
struct Endpoint {
  std::string node;
  std::string output;  // the output argument's name; empty outside of functions
  int index = 0;
  bool control = false;
};
Endpoint parse_endpoint(const std::string& text);

// What can be run: a signature, or a concrete function of the file's object graph.
struct Entry {
  std::string name;  // "serving_default"; of a function its own name
  struct Port {
    std::string name;    // what the user feeds and gets
    std::string tensor;  // a signature's tensor of the main graph, "node:0"
    TfType dtype = TfType::Invalid;
    TfShape shape;
  };
  std::vector<Port> inputs, outputs;
};

// A value that a concrete function captures: its last arguments, in order.
struct Capture {
  std::string variable_key;  // checkpoint key of a variable; empty:
  std::string constant;      // node of the main graph that holds a constant
};

struct File {
  std::string path;
  std::string format;   // "GraphDef", "SavedModel", "checkpoint"
  std::string version;  // of TensorFlow, where the file says
  GraphDef graph;       // main graph and function library
  std::vector<Entry> signatures;
  // Concrete functions that the object graph binds variables to.
  std::map<std::string, std::vector<Capture>> captures;
  // Functions by what the object graph calls them: "call_and_return_all_conditional_losses" -> concrete functions.
  std::map<std::string, std::vector<std::string>> named_functions;
  std::optional<TensorBundle> bundle;        // the variables' values; none for a frozen graph
  std::map<std::string, bool> trainable;     // by checkpoint key (TF2) or variable name (TF1 collections), where known
  std::map<std::string, std::string> names;  // checkpoint key -> the variable's own name (TF2)

  const Entry* find(const std::string& signature) const;
};

// Opens a .pb (frozen GraphDef), a SavedModel directory or saved_model.pb, a .meta file, a checkpoint prefix or a
// directory with a `checkpoint` file. Throws Error(BadFile / Unsupported).
File read(const std::string& path);

}  // namespace midstream::tensorflow
