// Text that comes from a file (names of models, layers, outputs, classes, the file itself) on its way into Python
// source. Nothing else writes such text there: an identifier is made by names.h, everything else passes through here.
#pragma once

#include <string>

namespace midstream::emit {

// A string literal, quotes included.
std::string python_string(const std::string& text);
// Text for the inside of a docstring, a comment or one line of Markdown: it can end neither, and stays on its line.
std::string python_prose(const std::string& text);

// Prose as one line of Markdown in which nothing is a tag, a link or an image.
std::string markdown(const std::string& prose);

}  // namespace midstream::emit
