// NumPy's .npy and .npz files. Arrays of C order and little-endian bytes are read in place (npz members when stored);
// Fortran order and big-endian data are converted into a copy. '<U' and '|S' arrays become String arrays (UTF-8,
// trailing NULs dropped as NumPy drops them); '|V2' is read and written as bfloat16, as ml_dtypes stores it.
// Object arrays are pickles, which can run code: refused. Arrays share the mapped file.
// Throws Error(BadFile, "<file>: <member>", ...).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/array.h"
#include "formats/mapped_file.h"
#include "formats/zip.h"

namespace midstream {

Array read_npy(const std::string& path);
// An .npy file in memory; `name` is only used in messages.
Array parse_npy(const std::string& name, const SharedBytes& bytes);
void write_npy(const std::string& path, const Array& array);
std::vector<std::byte> to_npy(const Array& array);

using NamedArrays = std::vector<std::pair<std::string, Array>>;

class NpzFile {
 public:
  static NpzFile open(const std::string& path);
  NpzFile(std::string name, SharedBytes bytes);

  const std::vector<std::string>& names() const { return names_; }  // without ".npy", in file order
  bool contains(std::string_view name) const;
  Array read(std::string_view name) const;
  const ZipFile& zip() const { return zip_; }

 private:
  explicit NpzFile(ZipFile zip);
  ZipFile zip_;
  std::vector<std::string> names_;
};

void write_npz(const std::string& path, const NamedArrays& arrays);

}  // namespace midstream
