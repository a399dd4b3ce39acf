#include <filesystem>

#include "base/error.h"
#include "formats/mapped_file.h"
#include "formats/saved_model.h"
#include "formats/tensor_bundle.h"
#include "writeback/container.h"

namespace midstream {
namespace fs = std::filesystem;

void write_saved_model(const std::string& source, const NamedArrays& arrays, const std::string& path) {
  fs::path from(source), to(path);
  TensorBundle bundle = TensorBundle::open((from / "variables" / "variables").string());
  BundleEdit edit(bundle);
  for (const auto& [key, array] : arrays) edit.set(key, array);
  if (fs::weakly_canonical(from) == fs::weakly_canonical(to)) {
    edit.write((to / "variables" / "variables").string());
    return;
  }
  // A new directory appears under its name only when it is complete.
  fs::path draft = to;
  draft += ".partial";
  std::error_code ignored;
  fs::remove_all(draft, ignored);
  try {
    fs::create_directories(draft / "variables");
    for (const auto& entry : fs::directory_iterator(from))
      if (entry.path().filename() != "variables")
        fs::copy(entry.path(), draft / entry.path().filename(), fs::copy_options::recursive);
    edit.write((draft / "variables" / "variables").string());
    fs::remove_all(to);
    fs::rename(draft, to);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(draft, ignored);
    throw Error(ErrorKind::BadFile, path, std::string("cannot be written: ") + error.code().message() + ".");
  } catch (...) {
    fs::remove_all(draft, ignored);
    throw;
  }
}

}  // namespace midstream
