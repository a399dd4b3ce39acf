#include "emit/python_text.h"

#include <fmt/format.h>

#include "base/text.h"

namespace midstream::emit {

std::string python_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (byte < 0x20 || byte >= 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + "\"";
}

std::string python_prose(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '\\')
      out += "/";  // no escape sequence of Python starts in it, and it escapes no quote
    else if (c == '"' || c == '`')
      out += "'";
    else
      out += c;
  }
  return out;
}

std::string markdown(const std::string& prose) {
  std::string out;
  for (const char c : prose) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else
      out += (c == '[' ? "\\" : "") + std::string(1, c);
  }
  return out;
}

}  // namespace midstream::emit
