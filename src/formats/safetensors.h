// The safetensors format: an 8-byte length, a JSON header, the arrays. Read in place; Arrays share the mapped file.
// Throws Error(BadFile, "<file>: <tensor>", ...); Error(Unsupported) when a String array is to be written.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/array.h"
#include "formats/mapped_file.h"
#include "formats/npz.h"

namespace midstream {

class SafetensorsFile {
 public:
  struct Entry {
    DType dtype;
    Dims shape;
    ByteRange range;  // in the file
  };

  static SafetensorsFile open(const std::string& path);
  SafetensorsFile(std::string name, SharedBytes bytes);

  const std::string& name() const { return name_; }
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(std::string_view tensor) const { return entries_.find(tensor) != entries_.end(); }
  Array read(std::string_view tensor) const;

 private:
  std::string name_;
  SharedBytes bytes_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<std::string, std::string> metadata_;
};

// Tensors are laid out by descending alignment, then by name, as the safetensors library does: equal input, equal file.
void write_safetensors(const std::string& path, const NamedArrays& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace midstream
