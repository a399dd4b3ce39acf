// The one registry of lowerings. Registration is explicit (register_all.cpp lists every family, alphabetically);
// registering a name twice is an error. `midstream ops` prints it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "lower/keras/layer.h"
#include "lower/keras/training.h"
#include "lower/tensorflow/op.h"

namespace midstream {

template <class Fn>
class Table {
 public:
  explicit Table(std::string kind) : kind_(std::move(kind)) {}
  void add(const std::string& name, Fn fn) {
    if (!items_.emplace(name, std::move(fn)).second)
      throw Error(ErrorKind::Internal, kind_ + "." + name, "is registered twice.");
  }
  void put(const std::string& name, Fn fn) { items_.insert_or_assign(name, std::move(fn)); }
  const Fn* find(const std::string& name) const {
    auto it = items_.find(name);
    return it == items_.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, fn] : items_) out.push_back(name);
    return out;
  }

 private:
  std::string kind_;
  std::map<std::string, Fn> items_;
};

struct Registry {
  Table<keras::LayerFn> layers{"keras.layers"};
  Table<keras::ActivationFn> activations{"keras.activations"};
  Table<keras::LossFn> losses{"keras.losses"};
  Table<keras::MetricFn> metrics{"keras.metrics"};
  Table<keras::OptimizerFn> optimizers{"keras.optimizers"};
  Table<keras::ScheduleFn> schedules{"keras.schedules"};
  Table<keras::RegularizerFn> regularizers{"keras.regularizers"};
  Table<keras::ConstraintFn> constraints{"keras.constraints"};
  Table<tensorflow::OpEntry> tf_ops{"tf"};

  // What the user registered (own.h): names in one of the tables above.
  std::set<std::string> own;

  // Cells, which stand inside RNN and are no layers of their own here.
  std::set<std::string> cells;
  // Layers whose inputs are not cast to the compute dtype (Keras' autocast = False): what takes indices.
  std::set<std::string> keeps_input_dtype;
  // Layers that an input of strings may go into.
  std::set<std::string> takes_strings;
  // Layers that hand their activity regularizer to their inner layers. Keras 3 leaves it at that, Keras 2 applies it to
  // the layer's own outputs as well.
  std::set<std::string> inner_activity_losses;
  // Layers that take the masks off their inputs in Keras 3: what is called after them does not see a mask there.
  std::set<std::string> clears_masks;

  void layer(const std::string& name, keras::LayerFn fn) { layers.add(name, std::move(fn)); }
  void tf(const std::string& name, tensorflow::OpFn fn, std::vector<std::string> outputs = {}) {
    tf_ops.add(name, {std::move(fn), std::move(outputs)});
  }
};

// All lowerings of midstream; built once.
const Registry& registry();
// The same, for own.h.
Registry& editable_registry();

}  // namespace midstream
