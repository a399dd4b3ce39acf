// The executable; command_line.cpp has what it does.
#include "cli/command_line.h"

int main(int argc, char** argv) { return midstream::cli::command_line(argc, argv); }
