#include "formats/npy_header.h"

#include <charconv>

#include "base/error.h"
#include "formats/little_endian.h"

namespace midstream {
namespace {

[[noreturn]] void bad(const std::string& name, const std::string& what) {
  throw Error(ErrorKind::BadFile, name, "is not a readable .npy file: " + what + ".",
              "Write it again with numpy.save.");
}

std::optional<DType> numeric_type(char kind, size_t item) {
  switch (kind) {
    case 'b': return item == 1 ? std::optional(DType::Bool) : std::nullopt;
    case 'i':
    case 'u': return parse_dtype((kind == 'i' ? "int" : "uint") + std::to_string(8 * item));
    case 'f': return parse_dtype("float" + std::to_string(8 * item));
    case 'c': return parse_dtype("complex" + std::to_string(8 * item));
    case 'V': return item == 2 ? std::optional(DType::BFloat16) : std::nullopt;
    default: return std::nullopt;
  }
}

// The part of Python's literal syntax that numpy writes: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class DictReader {
 public:
  DictReader(const std::string& name, std::string_view text) : name_(name), text_(text) {}

  NpyHeader read() {
    NpyHeader h;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      std::string key = quoted();
      expect(':');
      if (key == "descr") {
        read_type(h);
        descr = true;
      } else if (key == "fortran_order") {
        h.fortran = accept_word("True");
        if (!h.fortran && !accept_word("False")) bad(name_, "fortran_order is neither True nor False");
        order = true;
      } else if (key == "shape") {
        read_shape(h.shape);
        shape = true;
      } else {
        bad(name_, "its header has an unknown key '" + key + "'");
      }
      if (!accept(',') && peek() != '}') bad(name_, "its header is broken");
    }
    if (!descr || !order || !shape) bad(name_, "its header is incomplete");
    return h;
  }

 private:
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad(name_, std::string("its header lacks '") + c + "'");
  }
  bool accept_word(std::string_view word) {
    peek();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  std::string quoted() {
    char quote = peek();
    if (quote != '\'' && quote != '"') bad(name_, "its header is broken");
    size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) bad(name_, "its header is broken");
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }
  template <class T>
  T number() {
    peek();
    T value{};
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc{}) bad(name_, "a number of its header is broken");
    at_ = static_cast<size_t>(end - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote (3L, 4L)
    return value;
  }
  void read_shape(Dims& shape) {
    expect('(');
    while (!accept(')')) {
      shape.push_back(number<int64_t>());
      if (shape.size() > kNpyMaxRank) bad(name_, "it has too many dimensions");
      if (!accept(',') && peek() != ')') bad(name_, "its shape is broken");
    }
  }
  void read_type(NpyHeader& h) {
    if (peek() == '[')
      throw Error(ErrorKind::Unsupported, name_, "holds a structured array.",
                  "Save its fields as arrays of their own.");
    std::string descr = quoted();
    if (descr.size() >= 2 && descr[1] == 'O')
      throw Error(ErrorKind::BadFile, name_, "holds Python objects (a pickle), which could run code.",
                  "Save numbers or strings: numpy.asarray(x, dtype=...), strings with dtype=str.");
    size_t size = 0;
    auto [end, error] =
        std::from_chars(descr.data() + std::min<size_t>(2, descr.size()), descr.data() + descr.size(), size);
    if (descr.size() < 3 || error != std::errc{} || end != descr.data() + descr.size() || size > (1u << 30))
      bad(name_, "its type '" + descr + "' is not known");
    h.kind = descr[1];
    h.item = h.kind == 'U' ? 4 * size : size;
    h.swapped = descr[0] == '>';
    h.swap_unit = h.kind == 'U' ? 4 : h.kind == 'S' || h.kind == 'V' ? 1 : h.kind == 'c' ? size / 2 : size;
    if (h.kind == 'S' || h.kind == 'U') return;
    h.dtype = numeric_type(h.kind, size);
    if (!h.dtype)
      throw Error(ErrorKind::Unsupported, name_, "holds elements of type '" + descr + "', which is not supported.");
  }

  const std::string& name_;
  std::string_view text_;
  size_t at_ = 0;
};

std::string descr(DType dtype, size_t width, bool unicode) {
  switch (dtype) {
    case DType::String: return (unicode ? "<U" : "|S") + std::to_string(width);
    case DType::BFloat16: return "<V2";
    case DType::Bool: return "|b1";
    case DType::UInt8: return "|u1";
    case DType::Int8: return "|i1";
    default: break;
  }
  // "uint16" -> 'u', "int16" -> 'i', "float32" -> 'f', "complex64" -> 'c'
  return std::string("<") + to_string(dtype)[0] + std::to_string(item_size(dtype));
}

}  // namespace

NpyHeader parse_npy_header(const std::string& name, Bytes bytes) {
  constexpr std::string_view kMagic("\x93NUMPY", 6);
  if (bytes.size() < 12 || as_text(bytes.first(6)) != kMagic) bad(name, "its signature is missing");
  unsigned major = static_cast<unsigned>(bytes[6]);
  if (major < 1 || major > 3) bad(name, "its version is " + std::to_string(major) + ", known are 1 to 3");
  size_t start = major == 1 ? 10 : 12;
  size_t length = major == 1 ? load<uint16_t>(&bytes[8]) : load<uint32_t>(&bytes[8]);
  if (length > bytes.size() - start) bad(name, "its header is cut short");
  NpyHeader h = DictReader(name, as_text(bytes.subspan(start, length))).read();
  h.data = start + length;
  return h;
}

std::string npy_header(DType dtype, const Dims& shape, size_t width, bool unicode) {
  std::string dict = "{'descr': '" + descr(dtype, width, unicode) + "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) dict += (i ? ", " : "") + std::to_string(shape[i]);
  dict += shape.size() == 1 ? ",), }" : "), }";
  size_t prefix = dict.size() + 1 + 10 + 63 > 0xffff ? 12 : 10;
  dict.append((64 - (prefix + dict.size() + 1) % 64) % 64, ' ');
  dict += '\n';
  std::string out("\x93NUMPY", 6);
  out += prefix == 10 ? '\1' : '\2';
  out += '\0';
  if (prefix == 10)
    append<uint16_t>(out, static_cast<uint16_t>(dict.size()));
  else
    append<uint32_t>(out, static_cast<uint32_t>(dict.size()));
  return out + dict;
}

}  // namespace midstream
