// The text of a program whose classes and names are settled.
#pragma once

#include "emit/code.h"
#include "emit/emit.h"

namespace midstream::emit {

EmittedModule write(Program& program, const EmitOptions& options);

// What stands for a module in __init__: "nn.Conv2d(3, 64, kernel_size=3)".
std::string constructed(Program& program, const Class& around, int module);
// The line that makes the attribute.
std::string attribute_line(Program& program, const Class& around, const std::string& name, int module);
// "[batch, 64, height, width]", in terms of the class's arguments where its instances differ.
std::string shape_text(Program& program, const Class& cls, size_t position, bool output);

}  // namespace midstream::emit
