// The variables of a program: parameters, state (BatchNorm statistics, seeds, metric totals), optimizer slots.
// Several graphs (predict, train step, optimizer) share one table; tensors live elsewhere (run/variable_store.h).
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/array.h"
#include "graph/file_layout.h"
#include "graph/transform.h"

namespace midstream {

enum class Role : uint8_t { Weight, Seed, Metric, Slot, Step };

struct Variable {
  std::string name;  // unique: the source's path, "block1/conv/kernel", "optimizer/block1/conv/kernel/momentum"
  DType dtype = DType::Float32;
  Dims source_dims;      // as in the file
  Transforms stored_as;  // source layout -> the layout of the tensor that is kept and trained
  bool trainable = false;
  Role role = Role::Weight;
  // The value in the source layout; empty: zeros (slots of a fresh optimizer, metric totals).
  Array initial;
  // Where the value came from, in the container's own terms (an HDF5 path, a checkpoint key, a node's name), for
  // write-back. Empty: it is in no file.
  std::string source;
  // Where the file keeps it otherwise than as one array in the source layout; `source` is then the first of its places.
  std::optional<FileLayout> file_layout = {};
  // Who may still choose `stored_as`: 0 anyone, kLayoutFixed nobody, else the graph with that serial, which holds the
  // variable in the source's layout and can still change its mind (Builder's business).
  static constexpr uint64_t kLayoutFixed = ~uint64_t{0};
  uint64_t layout_chooser = 0;

  Dims dims() const { return apply(stored_as, source_dims); }
};

class Variables {
 public:
  // Throws Error(Internal) if the name is taken. References stay valid.
  Variable& add(Variable v);
  Variable* find(const std::string& name);
  const Variable* find(const std::string& name) const;
  Variable& at(size_t index) { return items_[index]; }
  const Variable& at(size_t index) const { return items_[index]; }
  size_t index_of(const std::string& name) const;  // throws Error(Internal)
  size_t size() const { return items_.size(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }

 private:
  std::deque<Variable> items_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace midstream
