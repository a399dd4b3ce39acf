// Both Keras number the calls by their distance from the outputs (all calls of one layer at least as far as the
// farthest that was seen) and run the far ones first; those of the same distance in the order in which the numbering
// met them.
#include "lower/keras/call_order.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "base/error.h"

namespace midstream::keras {
namespace {

class Order {
 public:
  explicit Order(const Model& model) : model_(model) {
    for (size_t i = 0; i < model.layers.size(); ++i) index_[model.layers[i].name] = i;
  }

  std::vector<CallIndex> run() {
    for (const TensorRef& output : model_.outputs) visit(output);
    number();
    std::vector<CallIndex> out = met_;
    std::stable_sort(out.begin(), out.end(), [&](CallIndex a, CallIndex b) { return depth_.at(a) > depth_.at(b); });
    std::erase_if(out, [&](CallIndex c) { return static_cast<size_t>(c.node) >= model_.layers[c.layer].calls.size(); });
    return out;
  }

 private:
  struct Frame {
    CallIndex call;
    std::vector<CallIndex> parents;
    size_t next = 0;
  };

  // The call that made a tensor; none for a model's input that is another layer's output.
  std::optional<CallIndex> maker(const TensorRef& ref) const {
    auto it = index_.find(ref.layer);
    if (it == index_.end()) return std::nullopt;
    const bool declared = std::find(model_.inputs.begin(), model_.inputs.end(), ref) != model_.inputs.end();
    if (declared && model_.layers[it->second].class_name != "InputLayer") return std::nullopt;
    return CallIndex{it->second, ref.node};
  }

  void collect(const CallArg& arg, std::vector<CallIndex>& out) const {
    if (auto* ref = std::get_if<TensorRef>(&arg.value)) {
      if (auto call = maker(*ref)) out.push_back(*call);
    } else if (auto* list = std::get_if<std::vector<CallArg>>(&arg.value)) {
      for (const CallArg& item : *list) collect(item, out);
    } else if (auto* map = std::get_if<std::map<std::string, CallArg>>(&arg.value)) {
      for (const auto& [key, item] : *map) collect(item, out);
    }
  }

  std::vector<CallIndex> parents(CallIndex call) const {
    std::vector<CallIndex> out;
    const auto& calls = model_.layers[call.layer].calls;
    if (static_cast<size_t>(call.node) >= calls.size()) return out;  // an input
    const LayerCall& written = calls[static_cast<size_t>(call.node)];
    for (const CallArg& arg : written.args) collect(arg, out);
    for (const auto& [key, arg] : written.kwargs) collect(arg, out);
    return out;
  }

  // Depth first, without recursion: a file decides how deep it goes.
  void visit(const TensorRef& output) {
    auto first = maker(output);
    if (!first || state_[*first] != 0) return;
    std::vector<Frame> stack;
    auto enter = [&](CallIndex call) {
      state_[call] = 1;
      stack.push_back({call, parents(call)});
    };
    enter(*first);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next == frame.parents.size()) {
        state_[frame.call] = 2;
        finished_.push_back(frame.call);
        stack.pop_back();
        continue;
      }
      const CallIndex parent = frame.parents[frame.next++];
      if (state_[parent] == 1)
        throw Error(ErrorKind::BadFile, model_.name,
                    "its layers depend on each other in a circle, so its outputs cannot be computed.");
      if (state_[parent] == 0) enter(parent);
    }
  }

  int64_t& depth(CallIndex call) {
    auto [it, fresh] = depth_.try_emplace(call, 0);
    if (fresh) met_.push_back(call);
    return it->second;
  }

  void number() {
    std::unordered_map<size_t, int64_t> of_layer;
    for (auto call = finished_.rbegin(); call != finished_.rend(); ++call) {
      const int64_t mine = std::max(depth(*call), of_layer[call->layer]);
      of_layer[call->layer] = mine;
      depth(*call) = mine;
      for (CallIndex parent : parents(*call)) {
        int64_t& theirs = depth(parent);
        theirs = std::max(mine + 1, theirs);
      }
    }
  }

  const Model& model_;
  std::unordered_map<std::string, size_t> index_;
  std::map<CallIndex, int> state_;  // 0 new, 1 on the stack, 2 finished
  std::vector<CallIndex> finished_, met_;
  std::map<CallIndex, int64_t> depth_;
};

}  // namespace

std::vector<CallIndex> call_order(const Model& model) { return Order(model).run(); }

}  // namespace midstream::keras
