#include "base/error.h"

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

// Messages quote what stands in files. What is not printable UTF-8 there becomes '?', so that every terminal and every
// Python can show the message.
static std::string printable(std::string text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    size_t more = byte < 0x80                   ? 0
                  : byte >= 0xc2 && byte < 0xe0 ? 1
                  : byte >= 0xe0 && byte < 0xf0 ? 2
                  : byte >= 0xf0 && byte < 0xf5 ? 3
                                                : 9;
    bool good = more < 9 && i + more < text.size() && (byte >= 0x20 || byte == '\n' || byte == '\t') && byte != 0x7f;
    for (size_t k = 1; good && k <= more; ++k) good = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    if (!good) text[i] = '?';
    i += good ? more + 1 : 1;
  }
  return text;
}

static std::string compose(const std::string& where, const std::string& message, const std::string& hint) {
  std::string text = where.empty() ? message : "[" + where + "] " + message;
  if (!hint.empty()) text += " " + hint;
  return text;
}

Error::Error(ErrorKind kind, std::string where, std::string message, std::string hint)
    : std::runtime_error(printable(compose(where, message, hint))),
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
