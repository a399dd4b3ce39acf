#include "formats/leveldb_table.h"

#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/table.h>
#include <leveldb/table_builder.h>

#include <new>

#include "base/error.h"

namespace midstream {
namespace {

leveldb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const leveldb::Slice& s) { return {s.data(), s.size()}; }

// leveldb's file over a mapping: hands out pointers into it, so that nothing is copied.
class MappedTableFile : public leveldb::RandomAccessFile {
 public:
  explicit MappedTableFile(SharedBytes bytes) : bytes_(std::move(bytes)) {}
  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result, char*) const override {
    // No block is shorter than this; a size that overflowed when leveldb added its trailer is.
    constexpr size_t kSmallest = 8;
    if (offset > bytes_.size() || n > bytes_.size() - offset || n < kSmallest)
      return leveldb::Status::Corruption("a block lies outside of the file");
    *result = leveldb::Slice(bytes_.text().data() + offset, n);
    return leveldb::Status::OK();
  }

 private:
  SharedBytes bytes_;
};

class StringFile : public leveldb::WritableFile {
 public:
  leveldb::Status Append(const leveldb::Slice& data) override {
    text.append(data.data(), data.size());
    return leveldb::Status::OK();
  }
  leveldb::Status Close() override { return leveldb::Status::OK(); }
  leveldb::Status Flush() override { return leveldb::Status::OK(); }
  leveldb::Status Sync() override { return leveldb::Status::OK(); }
  std::string text;
};

[[noreturn]] void bad(const std::string& name, const std::string& what) {
  throw Error(ErrorKind::BadFile, name, "is not a readable table: " + what + ".",
              "The file is damaged or was not completely written.");
}

leveldb::ReadOptions checked() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

}  // namespace

struct LeveldbTable::Impl {
  std::string name;
  std::unique_ptr<MappedTableFile> file;
  std::unique_ptr<leveldb::Table> table;
};

LeveldbTable::LeveldbTable(std::string name, SharedBytes bytes) : impl_(std::make_shared<Impl>()) {
  impl_->name = std::move(name);
  size_t size = bytes.size();
  impl_->file = std::make_unique<MappedTableFile>(std::move(bytes));
  leveldb::Options options;
  options.paranoid_checks = true;
  options.block_cache = nullptr;
  leveldb::Table* table = nullptr;
  try {
    leveldb::Status status = leveldb::Table::Open(options, impl_->file.get(), size, &table);
    if (!status.ok()) bad(impl_->name, status.ToString());
  } catch (const std::bad_alloc&) {
    bad(impl_->name, "a block declares an absurd size");
  }
  impl_->table.reset(table);
}

std::optional<std::string> LeveldbTable::get(std::string_view key) const {
  std::optional<std::string> out;
  scan(key, [&](std::string_view found, std::string_view value) {
    if (found == key) out = std::string(value);
    return false;
  });
  return out;
}

void LeveldbTable::scan(std::string_view first,
                        const std::function<bool(std::string_view, std::string_view)>& visit) const {
  try {
    std::unique_ptr<leveldb::Iterator> it(impl_->table->NewIterator(checked()));
    for (it->Seek(slice(first)); it->Valid(); it->Next())
      if (!visit(view(it->key()), view(it->value()))) break;
    if (!it->status().ok()) bad(impl_->name, it->status().ToString());
  } catch (const std::bad_alloc&) {
    bad(impl_->name, "a block declares an absurd size");
  }
}

std::string build_leveldb_table(const std::map<std::string, std::string>& entries) {
  StringFile file;
  leveldb::Options options;
  options.compression = leveldb::kNoCompression;
  options.block_size = 262144;  // TensorFlow's default
  leveldb::TableBuilder builder(options, &file);
  for (const auto& [key, value] : entries) builder.Add(slice(key), slice(value));
  leveldb::Status status = builder.Finish();
  if (!status.ok()) throw Error(ErrorKind::Internal, "leveldb", status.ToString() + ".");
  return std::move(file.text);
}

}  // namespace midstream
