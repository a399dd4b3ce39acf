// Equal calls are one call. A block sees the calls of the blocks around it. Random operators are never joined, nor is a
// call that gives nothing.
#include <map>

#include "passes/passes.h"

namespace midstream {
namespace {

// Everything that makes a call what it is, as bytes.
class Key {
 public:
  std::string of(const Node& node) {
    text_ = node.op;
    for (const NamedArg& a : node.args) {
      text_ += '|' + a.name + '=' + std::to_string(a.value.index()) + ':';
      std::visit([&](const auto& v) { add(v); }, a.value.variant());
    }
    return std::move(text_);
  }

 private:
  void add(std::monostate) {}
  void add(Value v) { text_ += '%' + std::to_string(v.id); }
  void add(bool v) { text_ += v ? '1' : '0'; }
  void add(int64_t v) { text_ += std::to_string(v); }
  void add(double v) { text_.append(reinterpret_cast<const char*>(&v), sizeof v); }
  void add(DType v) { text_ += to_string(v); }
  void add(const std::string& v) { text_ += std::to_string(v.size()) + v; }
  void add(const IntArg& v) {
    std::visit([&](const auto& x) { add(x); }, v);
  }
  template <class T>
  void add(const std::vector<T>& items) {
    for (const auto& item : items) {
      add(static_cast<T>(item));
      text_ += ',';
    }
  }

  std::string text_;
};

class Joiner {
 public:
  Joiner(Graph& graph, const Dialect& dialect) : graph_(graph), dialect_(dialect) {}

  bool run() {
    constants();
    join(graph_.body);
    replace_uses(graph_, replaced_);
    return changed_;
  }

 private:
  static constexpr size_t kSmall = 256;  // bytes: larger constants are compared by where they lie

  void constants() {
    std::map<std::string, Value> first;
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      const ValueInfo& info = graph_.values[id];
      if (info.leaf != LeafKind::Constant || info.type.dtype == DType::String) continue;
      const Array& a = graph_.constants[static_cast<size_t>(info.index)];
      std::string key = to_string(info.type) + '|';
      if (a.nbytes() <= kSmall)
        key.append(reinterpret_cast<const char*>(a.bytes()), a.nbytes());
      else
        key += std::to_string(reinterpret_cast<uintptr_t>(a.bytes()));
      auto [it, is_new] = first.emplace(std::move(key), Value{static_cast<int32_t>(id)});
      if (!is_new) replaced_[static_cast<int32_t>(id)] = it->second;
    }
  }

  void join(Block& block) {
    std::vector<std::string> here;
    for (auto& node : block.nodes) {
      replace_operands(node->args, replaced_);
      for (Block& inner : node->blocks) join(inner);
      if (node->kind != NodeKind::Call || node->outputs.empty() || dialect_.schema(node->op).random) continue;
      std::string key = Key().of(*node);
      auto [it, is_new] = calls_.emplace(key, node->outputs);
      if (is_new) {
        here.push_back(std::move(key));
        continue;
      }
      for (size_t i = 0; i < node->outputs.size(); ++i) replaced_[node->outputs[i].id] = it->second[i];
      changed_ = true;  // dce takes the node away
    }
    for (const std::string& key : here) calls_.erase(key);
  }

  Graph& graph_;
  const Dialect& dialect_;
  std::unordered_map<std::string, std::vector<Value>> calls_;
  std::unordered_map<int32_t, Value> replaced_;
  bool changed_ = false;
};

}  // namespace

bool cse(Graph& graph, const Dialect& dialect) { return Joiner(graph, dialect).run(); }

}  // namespace midstream
