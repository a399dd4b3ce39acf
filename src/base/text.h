// Text that comes from a file, made safe for where it is shown: terminals, messages, comments of generated source.
#pragma once

#include <string>
#include <string_view>

namespace midstream {

// The text with every character that could act instead of being read made harmless: control characters (terminals obey
// escape sequences), Unicode's line separators and the marks that change the direction of writing become \xNN or
// \uNNNN; bytes that are not UTF-8 become '?'. `lines`: newlines and tabs stay.
std::string printable(std::string_view text, bool lines = false);

}  // namespace midstream
