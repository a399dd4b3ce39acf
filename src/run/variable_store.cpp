#include "run/variable_store.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/mapping.h"
#include "libtorch/convert.h"

namespace midstream {
namespace {

bool is_aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

// A copy of an array in the file, of which only a piece is in memory twice at any time.
at::Tensor copied(const Array& from) {
  constexpr size_t kPiece = size_t{8} << 20;
  at::Tensor to = at::empty(from.shape(), at::TensorOptions().dtype(to_scalar_type(from.dtype())));
  auto* target = static_cast<std::byte*>(to.mutable_data_ptr());
  for (size_t at = 0; at < from.nbytes(); at += kPiece) {
    const size_t n = std::min(kPiece, from.nbytes() - at);
    std::memcpy(target + at, from.bytes() + at, n);
    release_pages(from.bytes() + at, n, from.owner());
  }
  return to;
}

// A stored tensor must be dense and aligned, because it is trained in place. A view that only permutes the file's bytes
// is; kernels of convolutions are repacked once, into the layout that PyTorch's channels_last kernels want.
at::Tensor settle(const Variable& v) {
  at::Tensor t = midstream::apply(v.stored_as, to_tensor(v.initial));
  if (t.dim() == 4) {
    at::Tensor packed = t.contiguous(at::MemoryFormat::ChannelsLast);
    if (packed.is_alias_of(t)) packed = packed.clone();
    release_pages(v.initial.bytes(), v.initial.nbytes(), v.initial.owner());
    return packed;
  }
  if (!is_aligned(t.const_data_ptr())) t = midstream::apply(v.stored_as, copied(v.initial));
  return t.is_non_overlapping_and_dense() ? t : t.clone(at::MemoryFormat::Preserve);
}

at::Tensor make(const Variable& v) {
  at::Tensor t;
  if (v.initial.empty()) {
    t = midstream::apply(v.stored_as, at::zeros(v.source_dims, at::TensorOptions().dtype(to_scalar_type(v.dtype))));
    t = t.dim() == 4 ? t.contiguous(at::MemoryFormat::ChannelsLast) : t;
  } else {
    if (v.initial.shape() != v.source_dims || v.initial.dtype() != v.dtype)
      throw Error(ErrorKind::Mismatch, v.name,
                  "the file's array is " + std::string(to_string(v.initial.dtype())) + to_string(v.initial.shape()) +
                      ", but the model wants " + std::string(to_string(v.dtype)) + to_string(v.source_dims) + ".");
    t = settle(v);
  }
  if (v.trainable) t.set_requires_grad(true);
  return t;
}

}  // namespace

at::Tensor& VariableStore::tensor(size_t index) {
  std::lock_guard lock(mutex_);
  while (tensors_.size() <= index) tensors_.emplace_back();  // a deque: references stay valid
  at::Tensor& t = tensors_[index];
  if (!t.defined()) {
    at::NoGradGuard no_grad;
    t = make(variables_->at(index));
    if (device_) t = t.detach().to(*device_).set_requires_grad(variables_->at(index).trainable);
  }
  return t;
}

void VariableStore::to(const at::Device& device) {
  std::lock_guard lock(mutex_);
  device_ = device;
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (tensors_[i].defined()) tensors_[i].set_data(tensors_[i].to(device));
}

void VariableStore::to(DType dtype) {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < variables_->size(); ++i) {
    Variable& v = variables_->at(i);
    if (!is_floating(v.dtype) || v.dtype == dtype) continue;
    at::Tensor& t = tensor(i);
    t.set_data(t.detach().to(to_scalar_type(dtype)));
    v.dtype = dtype;
    v.initial = {};
  }
}

std::shared_ptr<VariableStore> VariableStore::clone(std::optional<at::Device> device) {
  auto copy = std::make_shared<VariableStore>(std::make_shared<Variables>(*variables_));
  copy->device_ = device ? device : device_;
  for (size_t i = 0; i < variables_->size(); ++i) {
    at::Tensor t = tensor(i).detach().to(copy->device(), /*non_blocking=*/false, /*copy=*/true);
    copy->tensors_.push_back(t.set_requires_grad(variables_->at(i).trainable));
  }
  return copy;
}

at::Device VariableStore::device() const { return device_.value_or(at::Device(at::kCPU)); }

at::Tensor to_source(const Variable& variable, const at::Tensor& tensor) {
  at::NoGradGuard no_grad;
  return midstream::apply(inverse(variable.stored_as), tensor.detach()).to(at::kCPU).contiguous();
}

at::Tensor from_source(const Variable& variable, const at::Tensor& tensor) {
  return midstream::apply(variable.stored_as, tensor);
}

}  // namespace midstream
