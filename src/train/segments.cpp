#include "train/segments.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <utility>

namespace midstream {

at::Tensor as_vector(const at::Tensor& tensor) {
  at::Tensor t = tensor.detach();
  TORCH_CHECK(t.is_non_overlapping_and_dense(), "a variable's memory has gaps");
  return t.as_strided({t.numel()}, {1});
}

at::Tensor in_layout_of(const at::Tensor& tensor, const at::Tensor& like) {
  if (tensor.strides() == like.strides() && tensor.is_non_overlapping_and_dense()) return tensor;
  at::Tensor out = at::empty_strided(like.sizes(), like.strides(), tensor.options());
  out.copy_(tensor);
  return out;
}

namespace {

void give_layout(at::Tensor& slot, const at::Tensor& variable) {
  if (!slot.is_non_overlapping_and_dense() || slot.strides() != variable.strides())
    slot.set_data(in_layout_of(slot.detach(), variable.detach()));
}

// Moves the tensors into one buffer; each stays the same tensor for whoever holds it.
at::Tensor join(const std::vector<at::Tensor*>& tensors) {
  int64_t total = 0;
  for (const at::Tensor* t : tensors) total += t->numel();
  at::Tensor buffer = at::empty({total}, tensors[0]->options().requires_grad(false));
  int64_t offset = 0;
  for (at::Tensor* t : tensors) {
    at::Tensor place = buffer.as_strided(t->sizes(), t->strides(), offset);
    place.copy_(t->detach());
    t->set_data(place);
    offset += t->numel();
  }
  return buffer;
}

}  // namespace

std::vector<Segment> make_segments(VariableStore& store, const std::vector<std::vector<std::string>>& names,
                                   int64_t small) {
  at::NoGradGuard no_grad;
  std::vector<Segment> segments;
  std::map<c10::ScalarType, std::vector<size_t>> joined;
  for (size_t i = 0; i < names.size(); ++i) {
    at::Tensor& variable = store.tensor(names[i][0]);
    // A tensor over a mapped file, or one that others share, is not trained in place before this point.
    if (!variable.is_non_overlapping_and_dense())
      variable.set_data(variable.detach().clone(at::MemoryFormat::Contiguous));
    for (size_t s = 1; s < names[i].size(); ++s) give_layout(store.tensor(names[i][s]), variable);
    if (variable.numel() <= small) {
      joined[variable.scalar_type()].push_back(i);
      continue;
    }
    Segment segment{.members = {i}, .offsets = {0}, .vectors = {}};
    for (const std::string& name : names[i]) segment.vectors.push_back(as_vector(store.tensor(name)));
    segments.push_back(std::move(segment));
  }
  for (const auto& [dtype, members] : joined) {
    Segment segment{.members = members, .offsets = {}, .vectors = {}};
    int64_t offset = 0;
    for (size_t i : members)
      segment.offsets.push_back(std::exchange(offset, offset + store.tensor(names[i][0]).numel()));
    for (size_t k = 0; k < names[members[0]].size(); ++k) {
      std::vector<at::Tensor*> tensors;
      for (size_t i : members) tensors.push_back(&store.tensor(names[i][k]));
      segment.vectors.push_back(join(tensors));
    }
    segments.push_back(std::move(segment));
  }
  return segments;
}

at::Tensor joined(const Segment& segment, const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> parts;
  parts.reserve(segment.members.size());
  for (size_t i : segment.members) parts.push_back(as_vector(tensors[i]));
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace midstream
