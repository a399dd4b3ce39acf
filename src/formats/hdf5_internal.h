// What the HDF5 reader and writer share: the lock, handles that close themselves, errors, element types.
// Only hdf5*.cpp include this; libhdf5's header stays out of everybody else's way.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"

namespace midstream::h5 {

// Debian's libhdf5 is not thread-safe. Also silences its error printer and keeps it from loading filter plugins.
class Lock {
 public:
  Lock();
  // In a child process that was made while this thread held the lock: the child's lock is free.
  static void renew();

 private:
  std::lock_guard<std::recursive_mutex> guard_;
};

// Throws BadFile with the innermost description of libhdf5's error stack.
[[noreturn]] void fail(const std::string& where, const std::string& what);

// An identifier and the function that closes it.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { reset(); }
  void reset() {
    if (id_ >= 0) close_(id_);
    id_ = -1;
  }
  hid_t id() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

inline Handle type_handle(hid_t id) { return {id, H5Tclose}; }
inline Handle space_handle(hid_t id) { return {id, H5Sclose}; }
inline Handle plist_handle(hid_t id) { return {id, H5Pclose}; }

// How elements of a file are to be read.
struct ElementType {
  std::optional<DType> dtype;
  bool direct = false;           // the file's bytes are the Array's bytes
  bool variable_string = false;  // strings: of variable length, or size bytes with padding
  size_t size = 0;
  H5T_str_t padding = H5T_STR_NULLTERM;
};
ElementType element_type(hid_t type);

// The type of an Array's elements in memory, which is also how we write them (all little-endian). Not for String.
Handle memory_type(DType dtype);
Handle variable_string_type();

// Access to links that refuses to leave the file.
hid_t link_access();

// "/a/b" without a trailing slash; "" becomes "/".
std::string normal_path(const std::string& path);
// Whether every link along the path exists and its object too.
bool object_exists(hid_t file, const std::string& path);
H5O_type_t object_type(hid_t file, const std::string& path, const std::string& where);

// Shape of a dataspace. Throws if the product of its sizes cannot be a size in memory.
Dims shape_of(hid_t space, const std::string& where);

}  // namespace midstream::h5
