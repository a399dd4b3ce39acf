// One leveldb table (TensorFlow's .index files and V1 checkpoints) over mapped bytes, and building new ones.
// Table shares the bytes. Block checksums are always verified.
// Throws Error(BadFile, "<file>", ...). leveldb's headers stay in leveldb_table.cpp.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "formats/mapped_file.h"

namespace midstream {

class LeveldbTable {
 public:
  LeveldbTable(std::string name, SharedBytes bytes);

  std::optional<std::string> get(std::string_view key) const;
  // Calls visit(key, value) for all keys from `first` on, in order, until it returns false. The views are good during
  // the call only.
  void scan(std::string_view first, const std::function<bool(std::string_view, std::string_view)>& visit) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// The bytes of a table with these entries, uncompressed, as TensorFlow writes an index.
std::string build_leveldb_table(const std::map<std::string, std::string>& entries);

}  // namespace midstream
