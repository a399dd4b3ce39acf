#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "formats/mapped_file.h"
#include "formats/saved_model.h"
#include "formats/tensor_bundle.h"
#include "writeback/container.h"
#include "writeback/read_back.h"

namespace midstream {
namespace fs = std::filesystem;
namespace {

// A directory beside `to` that disappears unless it takes its place.
class Draft {
 public:
  explicit Draft(const fs::path& to) : to_(fs::absolute(to).lexically_normal()) {
    if (to_.filename().empty()) to_ = to_.parent_path();  // "model/"
    if (fs::is_symlink(to_)) to_ = fs::canonical(to_);
    std::string name = to_.string() + ".XXXXXX";
    if (!::mkdtemp(name.data())) throw fs::filesystem_error("", to_, std::error_code(errno, std::generic_category()));
    path_ = name;
  }
  ~Draft() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

  // At every moment there is one whole directory at `to`, the old or the new one (where the file system can exchange
  // two names; elsewhere the old one is moved aside first).
  void take_place() {
    sync_folder(path_);
    if (!fs::exists(to_)) {
      fs::rename(path_, to_);
    } else if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, to_.c_str(), RENAME_EXCHANGE) != 0) {
      const fs::path old = path_.string() + ".old";
      fs::rename(to_, old);
      fs::rename(path_, to_);
      path_ = old;
    }
    sync_folder(to_.parent_path());
  }

 private:
  fs::path to_, path_;
};

// All but what is called `except`.
void copy_flushed(const fs::path& from, const fs::path& to, const std::string& except = {}) {
  for (const auto& entry : fs::directory_iterator(from)) {
    if (entry.path().filename() == except) continue;
    const fs::path target = to / entry.path().filename();
    if (entry.is_directory()) {
      fs::create_directory(target);
      copy_flushed(entry.path(), target);
    } else {
      atomic_write(target.string(), map_file(entry.path().string()).bytes);
    }
  }
}

bool is_saved_model(const fs::path& p) { return fs::exists(p / "saved_model.pb") || fs::exists(p / "saved_model.cpb"); }

BundleEdit edited(const std::string& prefix, const NamedArrays& arrays) {
  TensorBundle bundle = TensorBundle::open(prefix);
  BundleEdit edit(bundle);
  for (const auto& [key, array] : arrays) edit.set(key, array);
  return edit;
}

}  // namespace

void write_saved_model(const std::string& source, const NamedArrays& arrays, const std::string& path) {
  const fs::path from(source);
  if (fs::exists(path) && !is_saved_model(path) && !(fs::is_directory(path) && fs::is_empty(path)))
    throw Error(ErrorKind::Usage, path, "is there already and no SavedModel.", "Give the name of a new directory.");
  const BundleEdit edit = edited((from / "variables" / "variables").string(), arrays);
  try {
    Draft draft(path);
    fs::permissions(draft.path(), fs::status(from).permissions());
    fs::create_directory(draft.path() / "variables");
    copy_flushed(from, draft.path(), "variables");
    edit.write((draft.path() / "variables" / "variables").string());
    expect_in_bundle((draft.path() / "variables" / "variables").string(), arrays);
    draft.take_place();
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::BadFile, path, "cannot be written: " + error.code().message() + ".");
  }
}

void write_checkpoint(const std::string& source, const NamedArrays& arrays, const std::string& path) {
  // Written and read beside its place, then moved: the index, which says what the other files hold, last.
  const fs::path target = fs::absolute(path).lexically_normal();
  try {
    Draft draft(target);
    const std::string prefix = (draft.path() / target.filename()).string();
    edited(source, arrays).write(prefix);
    expect_in_bundle(prefix, arrays);
    const fs::path index = prefix + ".index";
    for (const auto& entry : fs::directory_iterator(draft.path()))
      if (entry.path() != index) fs::rename(entry.path(), target.parent_path() / entry.path().filename());
    fs::rename(index, target.parent_path() / index.filename());
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::BadFile, path, "cannot be written: " + error.code().message() + ".");
  }
  sync_folder(target.parent_path().string());
  if (path != source) atomic_write(path + ".meta", map_file(source + ".meta").bytes);
}

}  // namespace midstream
