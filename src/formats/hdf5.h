// HDF5 files as Keras writes them: groups, datasets, attributes. Reading never copies a contiguous little-endian
// dataset: the file (or the zip member that holds it) stays mapped and an Array points into it. Opening reads no
// dataset. Links to other files, external storage and filter plugins are never followed: a model file is one file.
// H5File shares the mapped bytes; Arrays read from it outlive it. libhdf5 is not thread-safe: one mutex guards every
// call in here, so these classes may be used from any thread.
// Throws Error(BadFile, "<file>: <object>", ...); "not there" is asked with exists / has_attribute / optionals.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/array.h"
#include "formats/mapped_file.h"

namespace midstream {

struct H5DatasetInfo {
  Dims shape;
  std::optional<DType> dtype;  // nullopt: a type that has no Array (compound, reference, ...)
  bool contiguous = false;     // one block, so `location` gives it if the file's bytes are the Array's bytes
};

// Paths are "/a/b" or "a/b"; "/" is the root.
class H5File {
 public:
  static H5File open(const std::string& path);  // probed
  // A file image in memory, a zip member for example; `name` is only used in messages.
  H5File(std::string name, SharedBytes image);

  // True if the bytes start like an HDF5 file (also after a user block of 512, 1024, ... bytes).
  static bool looks_like(Bytes bytes);

  // libhdf5 crashes on some damaged files, or never comes to an end. Reads all that reading will read in a child
  // process and throws Error(BadFile) if that was killed. For bytes that no checksum vouches for.
  void probe() const;

  const std::string& name() const;
  const SharedBytes& image() const;

  bool exists(const std::string& path) const;
  bool is_group(const std::string& path) const;
  bool is_dataset(const std::string& path) const;
  // Names of the members of a group (or of its groups / datasets alone), sorted by name.
  std::vector<std::string> children(const std::string& group = "/") const;
  std::vector<std::string> groups(const std::string& group = "/") const;
  std::vector<std::string> datasets(const std::string& group = "/") const;
  // In order of creation if the file recorded that, else by name.
  std::vector<std::string> children_as_created(const std::string& group = "/") const;
  // Full paths ("/a/b/kernel:0") of all datasets below a group, depth first, by name.
  std::vector<std::string> all_datasets(const std::string& group = "/") const;

  std::vector<std::string> attribute_names(const std::string& object = "/") const;
  bool has_attribute(const std::string& object, const std::string& name) const;
  // Any attribute as an Array: strings of every kind as String, enum booleans as Bool, scalars with shape [].
  std::optional<Array> attribute(const std::string& object, const std::string& name) const;
  // A scalar string; nullopt if absent, Error if it is something else.
  std::optional<std::string> string_attribute(const std::string& object, const std::string& name) const;
  // A list of strings, or the chunks name0, name1, ... into which Keras splits a long one. An empty list may be an
  // array of any type. nullopt if neither is there.
  std::optional<std::vector<std::string>> strings_attribute(const std::string& object, const std::string& name) const;
  // A scalar number; nullopt if absent.
  std::optional<int64_t> int_attribute(const std::string& object, const std::string& name) const;
  std::optional<double> double_attribute(const std::string& object, const std::string& name) const;

  H5DatasetInfo info(const std::string& dataset) const;
  Array read(const std::string& dataset) const;
  // Where the dataset's bytes are in the image, if they are what `read` returns: contiguous, allocated, little-endian,
  // not strings. Overwriting that range changes the dataset and nothing else.
  std::optional<ByteRange> location(const std::string& dataset) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Makes or changes an HDF5 file, as h5py would for Keras: contiguous datasets, no chunks, no compression.
class H5Writer {
 public:
  // An empty file in memory, or a copy in memory of an existing one.
  H5Writer();
  explicit H5Writer(const H5File& base);
  // The file at `path` itself, on disk: for files too large for memory. Not atomic: give it a temporary copy.
  static H5Writer create_file(const std::string& path);
  static H5Writer edit_file(const std::string& path);
  ~H5Writer();
  H5Writer(H5Writer&&) noexcept;
  H5Writer& operator=(H5Writer&&) noexcept;

  bool exists(const std::string& path) const;
  // Creates missing parents too; nothing happens if the group is there.
  void create_group(const std::string& path);
  // Creates or replaces a dataset (attributes of a replaced one of equal type and shape stay). Bool is stored as h5py
  // stores it, bfloat16 as Keras does (opaque, attribute `dtype`), strings as vlen UTF-8.
  void write(const std::string& path, const Array& array);
  void remove(const std::string& path);

  void set_attribute(const std::string& object, const std::string& name, const std::string& text);  // vlen UTF-8
  // A one-dimensional fixed-length string array (an empty list becomes h5py's empty float64 array), split into name0,
  // name1, ... when it does not fit into an object header (64512 bytes), as Keras does.
  void set_attribute(const std::string& object, const std::string& name, const std::vector<std::string>& texts);
  void set_attribute(const std::string& object, const std::string& name, const Array& value);
  void remove_attribute(const std::string& object, const std::string& name);

  // Ends the writing and gives the file's bytes (in memory only). Use the writer no more.
  std::vector<std::byte> finish();
  // Ends the writing of a file on disk.
  void close();

 private:
  struct Impl;
  explicit H5Writer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace midstream
