// Pieces that the printer and the parser of the text IR share (docs/graph.md describes the language).
#pragma once

#include <string>
#include <string_view>

#include "graph/graph.h"

namespace midstream::text {

// Arrays with more elements are printed as "..." and read back as zeros.
inline constexpr int64_t kMaxConstant = 16;

std::string quote(std::string_view s);
bool is_identifier(std::string_view s);  // letters, digits, _ . and a letter or _ in front
std::string number(float value);
std::string number(double value);  // shortest that reads back the same; always with a '.' or an exponent
std::string_view name(Role role);

// Characters of the text with line numbers. Everything throws Error(BadFile) at "line N".
class Scanner {
 public:
  explicit Scanner(const std::string& text) : text_(text) {}

  bool at_end();
  char peek();                      // the next character that is no blank; 0 at the end
  bool accept(std::string_view s);  // skips blanks, then s
  void expect(std::string_view s);
  bool accept_word(std::string_view word);  // s, not followed by a letter or digit
  std::string word();                       // an identifier, which may hold : . _ and digits after the first letter
  std::string value_name();                 // %name -> "name"
  std::string quoted();
  bool at_number();
  // An integer or a real; `is_real` tells which. Reads inf, -inf and nan too.
  double number(bool* is_real, int64_t* integer);
  int64_t integer();
  std::string rest_of_line();  // up to a comment or the end of the line, trimmed
  std::string comment();       // what follows '#' on this line; empty if nothing does
  [[noreturn]] void fail(const std::string& message) const;

 private:
  void skip_blanks();  // spaces, line ends and lines that are comments only

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace midstream::text
