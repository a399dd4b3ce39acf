// What a layer's lowering sees: its canonical config, its weights, its inputs with their masks, and the Builder.
//
//   static Tensors dense(Layer& l, const Call& call) {
//     l.expect_config({"units", "activation", "use_bias", ...});
//     ...
//   }
//   void register_core(Registry& r) { r.layer("Dense", dense); }
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "graph/builder.h"

namespace midstream::keras {

using json = nlohmann::json;

// A tensor between layers: its value and Keras' implicit mask (bool tensor; null: no mask).
struct Tensor {
  Value value;
  Value mask;
};
using Tensors = std::vector<Tensor>;

// An entry of an argument that is a list: a tensor, or data.
struct ListItem {
  Tensor tensor;
  json data;
};

// The arguments of one call, tensors flattened out of their nests.
struct Call {
  Tensors inputs;                         // all tensors of the first positional argument, in order
  std::vector<Tensors> args;              // all positional arguments; an argument without tensors is an empty list
  std::map<std::string, Tensors> kwargs;  // keyword arguments that hold tensors
  json options = json::object();          // positional ("0", "1", ...) and keyword arguments that hold none
  // Arguments that are a list with tensors among its entries, by the same keys as `options`.
  std::map<std::string, std::vector<ListItem>> lists = {};
  const Tensor& one() const { return inputs.at(0); }
  // Positional argument `position` or keyword `name`; null tensor if absent.
  Tensor arg(size_t position, const std::string& name) const;
};

class LayerHost;     // what stands behind (host.h): variables, seeds, losses of the model being lowered
struct LayerRecord;  // this layer there

class Layer {
 public:
  Layer(Builder& builder, LayerHost& host, std::string path, std::string class_name, json config, bool trainable);

  Builder& b;
  const std::string path;  // "encoder/block1/conv": prefix of its variables' names
  const std::string class_name;
  const json config;     // canonical
  const bool trainable;  // the layer's own flag and all its parents'

  // --- config. Every getter throws Error(Mismatch) naming the layer, the entry and its value when the type is wrong.
  // Refuses entries that are neither listed nor common to all layers (name, trainable, dtype, batch_shape, ...).
  void expect_config(std::initializer_list<const char*> entries) const;
  bool has(const std::string& key) const;  // present and not null
  std::string text(const std::string& key, std::string otherwise = {}) const;
  int64_t integer(const std::string& key, int64_t otherwise = 0) const;
  double number(const std::string& key, double otherwise = 0) const;
  bool flag(const std::string& key, bool otherwise = false) const;
  std::vector<int64_t> ints(const std::string& key) const;            // a number gives a list of one
  std::vector<int64_t> ints(const std::string& key, size_t n) const;  // a number is repeated n times
  DType compute_dtype() const;                                        // of the dtype policy
  DType variable_dtype() const;

  // --- weights, in Keras' creation order. `dims` in Keras' layout. Asking again for the same name gives the same
  // variable (shared layers). Regularizers and constraints of the config entry "<name>_regularizer" are registered by
  // the host; `autocast`: the value comes in compute_dtype().
  Value weight(const std::string& name, const Dims& dims, bool trainable = true, bool autocast = true);
  // A weight that is not trained and has a dtype of its own (counters).
  Value weight_as(DType dtype, const std::string& name, const Dims& dims);
  // Keras counts a weight of a layer inside as this one's too: files have it here and there.
  void share(const std::string& name, const std::string& variable);
  // A sub-layer with its own subtree of weights: attribute name as in Keras 3's file ("cell", "query_dense"), config
  // of the inner layer. Its path is path + "/" + name.
  Layer child(const std::string& attribute, const std::string& name, const std::string& class_name, json config);
  // Lowers an inner layer given as {"class_name", "config"} through the registry (Bidirectional, TimeDistributed).
  Tensors lower_child(const std::string& attribute, const json& layer, const Call& call);

  // --- modes and side channels
  Value training();             // Kind::Bool: is this a training run?
  bool inference_only() const;  // this layer is frozen in a way that makes it run in inference mode (BatchNorm in TF2)
  // The layer's seed generator: variable [seed, counter] as Keras 3 keeps it (int64, Role::Seed). Returns its value
  // for this call and advances the counter by one in training. Null when the seed is not in the file: a fresh stream.
  // `in_inference_too`: Keras draws in both modes here (recurrent cells), so that the counter advances in both.
  Value draw_seed(const std::string& generator = "seed_generator", bool in_inference_too = false);
  void add_loss(Value scalar);  // activity regularizers and add_loss

  // --- common endings
  Value activation(Value v, const std::string& key = "activation");  // by name or config object; formulas in lower/math
  Tensors keep_mask(const Call& call, Value v) const;  // output with the mask of the first input (supports_masking)

  LayerHost& host() { return host_; }

 private:
  LayerHost& host_;
  LayerRecord* record_;
};

using LayerFn = std::function<Tensors(Layer&, const Call&)>;

}  // namespace midstream::keras
