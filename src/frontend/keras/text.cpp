// Small text matters of Keras files: Python's JSON, versions, snake_case.
#include <cctype>

#include "base/error.h"
#include "frontend/keras/canonical.h"

namespace midstream::keras {
namespace {

// Python writes NaN, Infinity and -Infinity as bare words, which JSON does not know.
std::string quote_bare_words(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      if (c == '"') in_string = false;
      continue;
    }
    bool replaced = false;
    for (std::string_view word : {"-Infinity", "Infinity", "NaN"})
      if (text.substr(i, word.size()) == word) {
        out.append("\"").append(word).append("\"");
        i += word.size() - 1;
        replaced = true;
        break;
      }
    if (replaced) continue;
    in_string = c == '"';
    out += c;
  }
  return out;
}

// The largest configs of real models have a few megabytes and some dozens of levels. Python's own parser stops at about
// a thousand levels, so that Keras opens nothing deeper; a nested model takes four.
constexpr size_t kLargestConfig = size_t{64} << 20;
constexpr int kDeepest = 600;

void check_limits(std::string_view text, const std::string& where) {
  check_config_size(text.size(), where);
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kDeepest)
        throw Error(
            ErrorKind::BadFile, where,
            "is nested more than " + std::to_string(kDeepest) + " levels deep, which Keras cannot open either.");
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

}  // namespace

void check_config_size(uint64_t bytes, const std::string& where) {
  if (bytes <= kLargestConfig) return;
  throw Error(
      ErrorKind::BadFile, where,
      "has " + std::to_string(bytes) + " bytes of configuration, the limit is " + std::to_string(kLargestConfig) + ".",
      "No model that Keras wrote is known to come near it.");
}

json parse_python_json(std::string_view text, const std::string& where) {
  check_limits(text, where);
  try {
    return json::parse(text);
  } catch (const json::exception&) {  // rare: only then is it worth looking for bare words
  }
  try {
    return json::parse(quote_bare_words(text));
  } catch (const json::exception& e) {
    throw Error(ErrorKind::BadFile, where, std::string("this is not valid JSON: ") + e.what() + ".",
                "The file is damaged or was not written by Keras.");
  }
}

WrittenBy written_by(const std::string& version) {
  WrittenBy by;
  by.version = version;
  if (version.empty()) return WrittenBy{.version = "", .major = 1, .minor = 0};
  size_t dot = version.find('.');
  try {
    by.major = std::stoi(version.substr(0, dot));
    if (dot != std::string::npos) by.minor = std::stoi(version.substr(dot + 1));
  } catch (const std::exception&) {
    throw Error(ErrorKind::BadFile, "keras_version", "'" + version + "' is not a version.");
  }
  // The keras package was a package of its own up to 2.3.1; 2.4 and later are tf.keras under another name.
  by.tensorflow = by.major >= 3 || version.ends_with("-tf") || (by.major == 2 && by.minor >= 4);
  return by;
}

std::string to_snake_case(const std::string& class_name) {
  std::string word;
  for (char c : class_name)
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') word += c;
  auto upper = [](char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; };
  auto lower = [](char c) { return std::islower(static_cast<unsigned char>(c)) != 0; };
  // "(.)([A-Z][a-z]+)" -> "\1_\2", from left to right without overlap
  std::string out;
  for (size_t i = 0; i < word.size();) {
    if (i + 2 < word.size() && upper(word[i + 1]) && lower(word[i + 2])) {
      out += word[i];
      out += '_';
      out += word[i + 1];
      size_t end = i + 2;
      while (end < word.size() && lower(word[end])) out += word[end++];
      i = end;
    } else {
      out += word[i++];
    }
  }
  // "([a-z])([A-Z])" -> "\1_\2"
  std::string spaced;
  for (size_t i = 0; i < out.size(); ++i) {
    spaced += out[i];
    if (i + 1 < out.size() && lower(out[i]) && upper(out[i + 1])) spaced += '_';
  }
  for (char& c : spaced) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return spaced;
}

}  // namespace midstream::keras
