// What stands behind the layers of a model while it is lowered into one graph: which weights each layer asked for,
// where the file keeps them, random streams, losses, regularizers, constraints. One LayerHost serves one graph; hosts
// of several graphs (predict, train step) share the Variables table, so a variable is created and loaded once.
//
// Weights are bound to the file at the end (bind_weights, weights.h): which array belongs to which weight follows from
// Keras' order, and that is known only when every layer has asked.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "frontend/keras/model.h"
#include "lower/keras/layer.h"

namespace midstream::keras {

struct WeightRecord {
  std::string name;       // as the layer calls it: "kernel"
  std::string variable;   // in the Variables table: "block1/conv/kernel"
  bool trainable = true;  // as created; the layers' flags come on top
};

// One layer (or model used as a layer), the same for all its calls.
struct LayerRecord {
  std::string path, class_name;
  json config;
  bool trainable = true;  // its own flag and all its parents'
  LayerRecord* parent = nullptr;
  std::string attribute;                  // where it is in its parent, as Keras 3's files say: "cell", "query_dense"
  const WeightTree* tree = nullptr;       // its arrays; null: found through the parent, or none
  std::vector<WeightRecord> weights;      // in order of creation
  std::vector<LayerRecord*> children;     // in order of creation
  std::vector<std::string> used_entries;  // regularizers and constraints that a weight has taken
};

// A regularizer or constraint of a weight.
struct WeightRule {
  std::string variable;
  json config;
};

class LayerHost {
 public:
  // `keras3`: the semantics of the file's Keras.
  explicit LayerHost(bool keras3 = true) : keras3(keras3) {}

  const bool keras3;
  std::vector<Value> losses;             // scalars: activity regularizers and add_loss, in order of the calls
  std::vector<WeightRule> regularizers;  // in order of creation of the weights
  std::vector<WeightRule> constraints;

  // The record of the layer at `path`, made at the first request. `parent` may be null.
  LayerRecord& layer(const std::string& path, const std::string& class_name, const json& config, bool trainable,
                     LayerRecord* parent = nullptr, const std::string& attribute = {});
  LayerRecord* find(const std::string& path);
  const std::vector<LayerRecord*>& roots() const { return roots_; }

  Value weight(Builder& b, LayerRecord& layer, const std::string& name, DType dtype, const Dims& dims, bool trainable);

  // The state [seed, counter] of the generator for its next use in this graph. Null where the seed is null.
  // `in_inference_too`: the generator advances in both modes.
  Value draw_seed(Builder& b, LayerRecord& layer, const std::string& generator, bool in_inference_too = false);
  // Appends the assignments of the advanced counters; called once, when the graph's layers are all there.
  void finish_seeds(Builder& b);

  // The name of the array that a weight was bound to, as the file calls it; empty where files have no names.
  std::string file_name(const std::string& variable) const {
    auto it = file_names_.find(variable);
    return it == file_names_.end() ? std::string() : it->second;
  }
  void set_file_name(const std::string& variable, const std::string& name) { file_names_[variable] = name; }
  // Keeps a model that was read while lowering (inside a wrapper) alive.
  void keep(std::shared_ptr<const Model> model) { kept_.push_back(std::move(model)); }

  // State that a layer called several times hands from call to call (BatchNorm's statistics): what the last call left,
  // the variable's value itself at first. Writing the variable is the layer's own business.
  Value current(Value variable) const {
    auto it = current_.find(variable.id);
    return it == current_.end() ? variable : it->second;
  }
  void set_current(Value variable, Value value) { current_[variable.id] = value; }

  // While it lives, the layer at `path` reads what `replace` makes of a weight instead of the weight.
  class Replacement {
   public:
    using Fn = std::function<Value(const WeightRecord&, Value)>;
    Replacement(LayerHost& host, std::string path, Fn replace) : host_(host), path_(std::move(path)) {
      host_.replacements_[path_] = std::move(replace);
    }
    ~Replacement() { host_.replacements_.erase(path_); }
    Replacement(const Replacement&) = delete;

   private:
    LayerHost& host_;
    std::string path_;
  };

  // A tensor that has lost its mask for all calls still to come (Registry::clears_masks).
  void clear_mask(Value value) { maskless_.insert(value.id); }
  Tensor as_it_is_now(Tensor t) const { return maskless_.contains(t.value.id) ? Tensor{t.value, {}} : t; }

  // What a tensor of integers holds, where it was made of sizes (tf.shape and arithmetic on it); null if unknown.
  const std::vector<Int>* sizes_of(Value value) const {
    auto it = sizes_.find(value.id);
    return it == sizes_.end() ? nullptr : &it->second;
  }
  void set_sizes(Value value, std::vector<Int> sizes) { sizes_[value.id] = std::move(sizes); }

  // The training flag that a layer sees: the graph's, unless a call in the file says training=True or False.
  Value training(Builder& b);
  class TrainingOverride {
   public:
    TrainingOverride(LayerHost& host, std::optional<bool> value) : host_(host), saved_(host.training_override_) {
      if (value) host.training_override_ = value;
    }
    ~TrainingOverride() { host_.training_override_ = saved_; }
    TrainingOverride(const TrainingOverride&) = delete;

   private:
    LayerHost& host_;
    std::optional<bool> saved_;
  };

 private:
  struct Stream {
    std::string variable;
    int64_t draws = 0;
    bool in_inference_too = false;
  };
  std::deque<LayerRecord> records_;
  std::unordered_map<std::string, LayerRecord*> by_path_;
  std::vector<LayerRecord*> roots_;
  std::unordered_map<int32_t, Value> current_;
  std::unordered_set<int32_t> maskless_;
  std::unordered_map<int32_t, std::vector<Int>> sizes_;
  std::unordered_map<std::string, Replacement::Fn> replacements_;
  std::vector<Stream> streams_;  // in order of first use
  std::optional<bool> training_override_;
  std::unordered_map<std::string, std::string> file_names_;
  std::vector<std::shared_ptr<const Model>> kept_;
};

// Calls a layer as Keras' Layer.__call__ does: inputs cast to the compute dtype, lowering, activity regularizer.
Tensors call_layer(Layer& layer, Call call);

// The explicit training=True/False of a call, where it counts. Keras 3 records one with every call and lets the run's
// own win; Keras 2 records what its user wrote, and that wins.
std::optional<bool> training_option(const LayerHost& host, const json& options);

// Adds the penalty on a layer's output to the losses: divided by the batch size in both Keras, so that its strength
// does not depend on it.
void add_activity_loss(Layer& layer, const json& regularizer, Value output);

// A weight's variable names in Keras' order: layer by layer (depth first), a layer's own before its children's.
std::vector<std::string> trainable_variables(const LayerHost& host, const Variables& variables);
// The same as if no layer were frozen.
std::vector<std::string> unfrozen_variables(const LayerHost& host, const Variables& variables);

}  // namespace midstream::keras
