#include "graph/text.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace midstream::text {
namespace {

bool letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

}  // namespace

std::string quote(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

bool is_identifier(std::string_view s) {
  if (s.empty() || !letter(s[0])) return false;
  for (char c : s)
    if (!letter(c) && !digit(c) && c != '.') return false;
  return true;
}

namespace {
template <class T>
std::string shortest(T value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[40];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string out(buffer, end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}
}  // namespace

std::string number(float value) { return shortest(value); }
std::string number(double value) { return shortest(value); }

std::string_view name(Role role) {
  switch (role) {
    case Role::Weight: return "weight";
    case Role::Seed: return "seed";
    case Role::Metric: return "metric";
    case Role::Slot: return "slot";
    case Role::Step: return "step";
  }
  return "weight";
}

void Scanner::skip_blanks() {
  while (at_ < text_.size()) {
    if (std::isspace(static_cast<unsigned char>(text_[at_]))) {
      ++at_;
    } else if (text_[at_] == '#') {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else {
      return;
    }
  }
}

bool Scanner::at_end() {
  skip_blanks();
  return at_ >= text_.size();
}

char Scanner::peek() {
  skip_blanks();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool Scanner::accept(std::string_view s) {
  skip_blanks();
  if (text_.compare(at_, s.size(), s) != 0) return false;
  at_ += s.size();
  return true;
}

void Scanner::expect(std::string_view s) {
  if (accept(s)) return;
  const std::string found = at_ < text_.size() ? text_.substr(at_, text_.find('\n', at_) - at_) : "the end";
  fail("'" + std::string(s) + "' was expected before '" + found + "'.");
}

bool Scanner::accept_word(std::string_view word) {
  skip_blanks();
  const size_t end = at_ + word.size();
  if (text_.compare(at_, word.size(), word) != 0) return false;
  if (end < text_.size() && (letter(text_[end]) || digit(text_[end]))) return false;
  at_ = end;
  return true;
}

std::string Scanner::word() {
  skip_blanks();
  std::string out;
  if (at_ < text_.size() && letter(text_[at_])) {
    while (at_ < text_.size() && (letter(text_[at_]) || digit(text_[at_]) || text_[at_] == '.' || text_[at_] == ':')) {
      // A single ':' ends the word ("x: f32"); "::" belongs to an operator's name.
      if (text_[at_] == ':') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != ':') break;
        out += text_[at_++];
      }
      out += text_[at_++];
    }
  }
  if (out.empty()) fail("a name was expected.");
  return out;
}

std::string Scanner::value_name() {
  expect("%");
  std::string out;
  while (at_ < text_.size() && (letter(text_[at_]) || digit(text_[at_]) || text_[at_] == '.')) out += text_[at_++];
  if (out.empty()) fail("a value's name was expected after '%'.");
  return out;
}

std::string Scanner::quoted() {
  expect("\"");
  std::string out;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
      ++at_;
      out += text_[at_] == 'n' ? '\n' : text_[at_];
      ++at_;
    } else {
      out += text_[at_++];
    }
  }
  expect("\"");
  return out;
}

bool Scanner::at_number() {
  const char c = peek();
  if (digit(c)) return true;
  if (c == '-') return at_ + 1 < text_.size() && (digit(text_[at_ + 1]) || text_.compare(at_, 4, "-inf") == 0);
  return text_.compare(at_, 3, "inf") == 0 || text_.compare(at_, 3, "nan") == 0;
}

double Scanner::number(bool* is_real, int64_t* integer) {
  skip_blanks();
  *is_real = true;
  *integer = 0;
  if (accept_word("inf")) return std::numeric_limits<double>::infinity();
  if (accept_word("-inf")) return -std::numeric_limits<double>::infinity();
  if (accept_word("nan")) return std::numeric_limits<double>::quiet_NaN();
  const char *begin = text_.data() + at_, *end = text_.data() + text_.size();
  double real = 0;
  auto as_real = std::from_chars(begin, end, real);
  auto as_integer = std::from_chars(begin, end, *integer);
  if (as_real.ec != std::errc()) fail("a number was expected.");
  *is_real = as_integer.ptr != as_real.ptr || as_integer.ec != std::errc();
  at_ += static_cast<size_t>(as_real.ptr - begin);
  return real;
}

int64_t Scanner::integer() {
  bool is_real = false;
  int64_t value = 0;
  number(&is_real, &value);
  if (is_real) fail("an integer was expected.");
  return value;
}

std::string Scanner::rest_of_line() {
  const size_t begin = at_;
  while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '#') ++at_;
  std::string out = text_.substr(begin, at_ - begin);
  out.erase(0, out.find_first_not_of(' '));
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

std::string Scanner::comment() {
  while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  if (at_ >= text_.size() || text_[at_] != '#') return {};
  ++at_;
  if (at_ < text_.size() && text_[at_] == ' ') ++at_;
  const size_t begin = at_;
  while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  return text_.substr(begin, at_ - begin);
}

void Scanner::fail(const std::string& message) const {
  size_t line = 1;
  for (size_t i = 0; i < at_ && i < text_.size(); ++i) line += text_[i] == '\n';
  throw Error(ErrorKind::BadFile, "line " + std::to_string(line), message);
}

}  // namespace midstream::text
