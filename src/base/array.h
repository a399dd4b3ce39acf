// Array: a dense, C-contiguous, read-only block of numbers with a shape. It does not own its bytes itself but shares
// whatever does (a mapped file, a decoded buffer), so that reading a file copies nothing.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace midstream {

class Array {
 public:
  Array() = default;
  // A view of `data` (num_elements(shape) * item_size(dtype) bytes, row-major), kept alive by `owner`.
  Array(DType dtype, Dims shape, std::shared_ptr<const void> owner, const void* data)
      : dtype_(dtype), shape_(std::move(shape)), owner_(std::move(owner)), data_(static_cast<const std::byte*>(data)) {}

  // An array that owns a copy of `values`.
  template <class T>
  static Array of(DType dtype, Dims shape, std::vector<T> values) {
    auto owner = std::make_shared<std::vector<T>>(std::move(values));
    const void* data = owner->data();
    return Array(dtype, std::move(shape), std::move(owner), data);
  }
  // A zero-filled array and, through `bytes`, the chance to fill it.
  static Array allocate(DType dtype, Dims shape, std::byte** bytes);
  static Array of_strings(Dims shape, std::vector<std::string> values);

  DType dtype() const { return dtype_; }
  const Dims& shape() const { return shape_; }
  int64_t size() const { return num_elements(shape_); }
  size_t nbytes() const { return static_cast<size_t>(size()) * item_size(dtype_); }
  const std::byte* bytes() const { return data_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  bool empty() const { return data_ == nullptr; }

  // The elements as T. Bytes of a mapped file may be unaligned for T: use `copy<T>()` then.
  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(size())};
  }
  template <class T>
  std::vector<T> copy() const {
    std::vector<T> out(static_cast<size_t>(size()));
    if (!out.empty()) std::memcpy(out.data(), data_, out.size() * sizeof(T));
    return out;
  }
  // Elements of a String array.
  const std::vector<std::string>& strings() const;
  // Any numeric array (bool and integers included) as int64 / double; throws Error(Internal) for String.
  std::vector<int64_t> to_int64() const;
  std::vector<double> to_double() const;

  Array reshaped(Dims shape) const;
  // The elements in another dtype: Float32, Float64 or Int64; throws Error(Internal) for any other.
  Array to(DType dtype) const;

 private:
  DType dtype_ = DType::Float32;
  Dims shape_;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
};

}  // namespace midstream
