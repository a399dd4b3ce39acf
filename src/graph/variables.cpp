// The table of variables: names are unique, items never move.
#include "graph/variables.h"

#include "base/error.h"

namespace midstream {

Variable& Variables::add(Variable v) {
  auto [it, is_new] = index_.emplace(v.name, items_.size());
  if (!is_new) throw Error(ErrorKind::Internal, v.name, "a variable of this name exists already.");
  items_.push_back(std::move(v));
  return items_.back();
}

Variable* Variables::find(const std::string& name) {
  auto it = index_.find(name);
  return it == index_.end() ? nullptr : &items_[it->second];
}

const Variable* Variables::find(const std::string& name) const {
  auto it = index_.find(name);
  return it == index_.end() ? nullptr : &items_[it->second];
}

size_t Variables::index_of(const std::string& name) const {
  auto it = index_.find(name);
  if (it == index_.end()) throw Error(ErrorKind::Internal, name, "there is no variable of this name.");
  return it->second;
}

}  // namespace midstream
