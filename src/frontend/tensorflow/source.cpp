#include "frontend/tensorflow/source.h"

#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "frontend/tensorflow/read.h"

namespace midstream::tensorflow {
namespace fs = std::filesystem;

Endpoint parse_endpoint(const std::string& text) {
  Endpoint e;
  if (text.starts_with('^')) {
    e.control = true;
    e.node = text.substr(1);
    return e;
  }
  size_t first = text.find(':');
  e.node = text.substr(0, first);
  if (first == std::string::npos) return e;
  size_t second = text.find(':', first + 1);
  std::string number = text.substr(second == std::string::npos ? first + 1 : second + 1);
  if (second != std::string::npos) e.output = text.substr(first + 1, second - first - 1);
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), e.index);
  if (error != std::errc() || end != number.data() + number.size())
    throw Error(ErrorKind::BadFile, text, "is no tensor name: expected \"node:0\".");
  return e;
}

const Entry* File::find(const std::string& signature) const {
  for (const Entry& e : signatures)
    if (e.name == signature) return &e;
  return nullptr;
}

// "dir/checkpoint" names the newest prefix in its first line: model_checkpoint_path: "model-1000".
static std::string newest_checkpoint(const fs::path& directory) {
  SharedBytes file = map_file((directory / "checkpoint").string());
  std::string text(file.text());
  size_t first = text.find('"'), second = first == std::string::npos ? first : text.find('"', first + 1);
  if (second == std::string::npos)
    throw Error(ErrorKind::BadFile, (directory / "checkpoint").string(), "names no model_checkpoint_path.");
  fs::path prefix = text.substr(first + 1, second - first - 1);
  // Written elsewhere: the file beside `checkpoint` is meant.
  return prefix.is_absolute() && !fs::exists(prefix.string() + ".index") ? (directory / prefix.filename()).string()
         : prefix.is_absolute()                                          ? prefix.string()
                                                                         : (directory / prefix).string();
}

File read(const std::string& path) {
  fs::path p(path);
  if (!fs::exists(p) && !fs::exists(path + ".index") && !fs::exists(path + ".meta"))
    throw Error(ErrorKind::BadFile, path, "there is no such file.");
  if (fs::is_directory(p)) {
    if (fs::exists(p / "saved_model.pb") || fs::exists(p / "saved_model.cpb")) return read_saved_model_file(path);
    if (fs::exists(p / "checkpoint")) return read_checkpoint_file(newest_checkpoint(p));
    throw Error(ErrorKind::BadFile, path, "holds neither saved_model.pb nor a checkpoint.");
  }
  std::string name = p.filename().string();
  if (name == "saved_model.pb") return read_saved_model_file(p.parent_path().string());
  if (name == "checkpoint") return read_checkpoint_file(newest_checkpoint(p.parent_path()));
  for (const char* ending : {".meta", ".index"})
    if (name.ends_with(ending)) return read_checkpoint_file(path.substr(0, path.size() - std::string(ending).size()));
  if (fs::exists(path + ".meta")) return read_checkpoint_file(path);
  return read_graphdef_file(path);
}

}  // namespace midstream::tensorflow
