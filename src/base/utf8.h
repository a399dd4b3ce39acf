// UTF-8 and code points, for formats that store strings as UTF-32.
#pragma once

#include <string>
#include <string_view>

namespace midstream {

// False if `c` is no Unicode character.
inline bool append_utf8(std::string& out, char32_t c) {
  if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
  auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6);
    put(0x80 | (c & 63));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 63));
    put(0x80 | (c & 63));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 63));
    put(0x80 | (c >> 6 & 63));
    put(0x80 | (c & 63));
  }
  return true;
}

// False if the text is not UTF-8; overlong forms are not.
inline bool decode_utf8(std::string_view text, std::u32string& out) {
  for (size_t i = 0; i < text.size();) {
    auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    size_t length = byte(i) < 0x80 ? 1 : byte(i) >> 5 == 6 ? 2 : byte(i) >> 4 == 14 ? 3 : byte(i) >> 3 == 30 ? 4 : 0;
    if (length == 0 || length > text.size() - i) return false;
    char32_t c = length == 1 ? byte(i) : byte(i) & (0x7f >> length);
    for (size_t k = 1; k < length; ++k) {
      if (byte(i + k) >> 6 != 2) return false;
      c = c << 6 | (byte(i + k) & 63);
    }
    std::string again;
    if (!append_utf8(again, c) || again.size() != length) return false;
    out += c;
    i += length;
  }
  return true;
}

}  // namespace midstream
