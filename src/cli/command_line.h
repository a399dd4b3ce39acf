// The command line as a function: of the executable, and of `python -m midstream --python FILE`, whose process has
// registered classes of the user's.
#pragma once

namespace midstream::cli {

// Returns the exit code. `in_python`: in a process with Python, which has run the file that --python names.
int command_line(int argc, const char* const* argv, bool in_python = false);

}  // namespace midstream::cli
