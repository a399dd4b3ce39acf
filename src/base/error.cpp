#include "base/error.h"

#include "base/text.h"

namespace midstream {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Unsupported: return "Unsupported";
    case ErrorKind::BadFile: return "BadFile";
    case ErrorKind::BadData: return "BadData";
    case ErrorKind::Mismatch: return "Mismatch";
    case ErrorKind::Usage: return "Usage";
    case ErrorKind::Internal: return "Internal";
  }
  return "Internal";
}

static std::string compose(const std::string& where, const std::string& message, const std::string& hint) {
  std::string text = where.empty() ? message : "[" + where + "] " + message;
  if (!hint.empty()) text += " " + hint;
  return text;
}

Error::Error(ErrorKind kind, std::string where, std::string message, std::string hint)
    : std::runtime_error(printable(compose(where, message, hint), true)),
      kind_(kind),
      where_(std::move(where)),
      message_(std::move(message)),
      hint_(std::move(hint)) {}

Error Error::at(std::string_view outer) const {
  std::string place(outer);
  if (!where_.empty()) place += ": " + where_;
  return Error(kind_, std::move(place), message_, hint_);
}

}  // namespace midstream
