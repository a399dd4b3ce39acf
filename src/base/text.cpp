#include "base/text.h"

#include <cstdio>

#include "base/utf8.h"

namespace midstream {
namespace {

bool acts(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c < 0x2010) || (c >= 0x2028 && c < 0x202f) ||
         (c >= 0x2060 && c < 0x2070) || c == 0xfeff;
}

}  // namespace

std::string printable(std::string_view text, bool lines) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    std::u32string c;
    size_t length = 1;
    while (length <= 4 && i + length <= text.size() && !decode_utf8(text.substr(i, length), c)) c.clear(), ++length;
    if (c.empty()) {
      out += '?';
      ++i;
      continue;
    }
    if (acts(c[0]) && !(lines && (c[0] == '\n' || c[0] == '\t'))) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, c[0] < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(c[0]));
      out += escaped;
    } else {
      out += text.substr(i, length);
    }
    i += length;
  }
  return out;
}

}  // namespace midstream
