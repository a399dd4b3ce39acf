// TensorFlow's SavedModel (and .meta files): graphs, signatures, the object graph, Keras metadata; and the object graph
// inside checkpoints. Structs mirror the protos' fields, nothing is interpreted. Bytes stay shared with the file.
// Throws Error(BadFile, "<file>", ...); Error(Unsupported) for the split saved_model.cpb of models over 2 GB.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "formats/graphdef.h"

namespace midstream {

// tensorflow.TensorInfo. A sparse input has `sparse` (values, indices, dense_shape tensor names) and no name.
struct TensorInfo {
  std::string name;  // "serving_default_x:0"
  TfType dtype = TfType::Invalid;
  TfShape shape;
  std::vector<std::string> sparse;     // coo_sparse
  std::vector<TensorInfo> components;  // composite_tensor
};

struct SignatureDef {
  std::map<std::string, TensorInfo> inputs, outputs;
  std::string method_name;
};

struct SaverDef {
  std::string filename_tensor_name, save_tensor_name, restore_op_name;
  int version = 0;  // 0 legacy, 1 V1, 2 V2
  bool sharded = false;
};

// tensorflow.StructuredValue, as a tree.
struct StructuredValue {
  enum class Kind {
    Unset,
    None,
    Float,
    Int,
    String,
    Bool,
    Shape,
    DType,
    TensorSpec,
    TypeSpec,
    BoundedTensorSpec,
    List,
    Tuple,
    Dict,
    NamedTuple,
    TensorValue,
    NumpyValue
  };
  Kind kind = Kind::Unset;
  double number = 0;    // Float
  int64_t integer = 0;  // Int, Bool
  std::string text;     // String; the name of TensorSpec, NamedTuple, TypeSpec's class name
  TfShape shape;        // Shape, TensorSpec
  TfType dtype = TfType::Invalid;
  std::vector<StructuredValue> items;                           // List, Tuple; TypeSpec: its state
  std::vector<std::pair<std::string, StructuredValue>> fields;  // Dict, NamedTuple
};

struct ObjectChild {
  int node_id = 0;
  std::string local_name;
};
struct SlotVariable {
  int original_variable_node_id = 0;
  std::string slot_name;
  int slot_variable_node_id = 0;
};

// The kinds of tensorflow.SavedObject.
struct SavedUserObject {
  std::string identifier;  // "_tf_keras_layer", "_generic_user_object", ...
  std::string metadata;    // Keras JSON up to TF 2.4
};
struct SavedAsset {
  int asset_file_def_index = 0;
};
struct SavedFunction {
  std::vector<std::string> concrete_functions;
  std::optional<StructuredValue> fullargspec, input_signature;  // of its FunctionSpec
  bool is_method = false;
};
struct SavedBareConcreteFunction {
  std::string concrete_function_name;
  std::vector<std::string> argument_keywords;
  int64_t allowed_positional_arguments = 0;
};
struct SavedVariable {
  TfType dtype = TfType::Invalid;
  TfShape shape;
  bool trainable = false;
  int synchronization = 0, aggregation = 0;
  std::string name, device;
};
struct SavedConstant {
  std::string operation;
};
struct SavedResource {
  std::string device;
};
struct SavedCapturedTensor {
  std::string name, concrete_function;
};

struct SavedObject {
  std::vector<ObjectChild> children, dependencies;
  std::vector<SlotVariable> slot_variables;
  std::variant<std::monostate, SavedUserObject, SavedAsset, SavedFunction, SavedVariable, SavedBareConcreteFunction,
               SavedConstant, SavedResource, SavedCapturedTensor>
      kind;
  std::map<std::string, std::pair<int, int>> saveable_objects;  // name -> (save function, restore function) node ids
  std::string registered_name;

  std::optional<int> child(std::string_view local_name) const;
};

struct SavedConcreteFunction {
  std::vector<int> bound_inputs;
  std::optional<StructuredValue> canonicalized_input_signature, output_signature;
};

struct SavedObjectGraph {
  std::vector<SavedObject> nodes;
  std::map<std::string, SavedConcreteFunction> concrete_functions;

  // The node at a path of local names from the root, {"layers", "0", "kernel"}; nullopt if there is none.
  std::optional<int> find(const std::vector<std::string>& path) const;
};

// tensorflow.VariableDef, the entries of the TF1 collections "variables" and "trainable_variables".
struct VariableDef {
  std::string variable_name, initial_value_name, initializer_name, snapshot_name;
  bool is_resource = false;
  bool trainable = false;  // not recorded before TF 1.10: the collection "trainable_variables" is the surer word
  // Of a part of a partitioned variable: the whole, and this part's place in it. Empty otherwise.
  std::string full_name;
  Dims full_shape, var_offset, var_shape;
};

struct AssetFileDef {
  std::string tensor_name, filename;
};

struct MetaGraphDef {
  std::vector<std::string> tags;
  std::string tensorflow_version;
  GraphDef graph;
  SaverDef saver;
  std::map<std::string, SignatureDef> signatures;
  std::map<std::string, std::vector<std::string>> collections;  // node_list and bytes_list entries, as they are
  std::vector<AssetFileDef> assets;
  SavedObjectGraph objects;

  bool has_tag(std::string_view tag) const;
  // The VariableDefs of a collection ("trainable_variables", "variables"); empty if there is none.
  std::vector<VariableDef> variables(const std::string& collection) const;
};

struct SavedModel {
  int64_t schema_version = 0;
  std::vector<MetaGraphDef> meta_graphs;
};

// A SavedModel directory, or its saved_model.pb.
SavedModel read_saved_model(const std::string& path);
SavedModel parse_saved_model(const std::string& name, const SharedBytes& message);
// A `.meta` file.
MetaGraphDef read_meta_graph(const std::string& path);
MetaGraphDef parse_meta_graph(const std::string& name, const SharedBytes& message);

// tensorflow.TrackableObjectGraph, the tensor "_CHECKPOINTABLE_OBJECT_GRAPH" of object-based checkpoints.
inline constexpr const char* kObjectGraphKey = "_CHECKPOINTABLE_OBJECT_GRAPH";
struct TrackableObject {
  struct Attribute {
    std::string name, full_name, checkpoint_key;
  };
  std::vector<ObjectChild> children;
  std::vector<Attribute> attributes;
  std::vector<SlotVariable> slot_variables;
  std::string saver_name, saver_object_name;  // registered_saver

  std::optional<int> child(std::string_view local_name) const;
};
struct TrackableObjectGraph {
  std::vector<TrackableObject> nodes;
  std::optional<int> find(const std::vector<std::string>& path) const;
};
TrackableObjectGraph parse_object_graph(const std::string& name, const SharedBytes& message);

// keras_metadata.pb, one entry per Keras object of the object graph (TF 2.5 and later).
struct KerasMetadata {
  int node_id = 0;
  std::string node_path;   // "root.layer_with_weights-0"
  std::string identifier;  // "_tf_keras_layer"
  std::string metadata;    // JSON
};
std::vector<KerasMetadata> read_keras_metadata(const std::string& path);
std::vector<KerasMetadata> parse_keras_metadata(const std::string& name, const SharedBytes& message);

}  // namespace midstream
