// The families of lowerings, declared. A new family file lower/keras/x.cpp exports register_x(Registry&): declare it
// here, call it in register_all.cpp, list the file in CMakeLists.txt.
#pragma once

namespace midstream {

struct Registry;
void register_all(Registry& registry);

}  // namespace midstream
