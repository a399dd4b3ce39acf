# The libraries besides libtorch, all from Debian, as imported targets:
#   midstream::hdf5 midstream::leveldb midstream::protozero midstream::stb
#   nlohmann_json::nlohmann_json fmt::fmt CLI11::CLI11 Threads::Threads ZLIB::ZLIB
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)

find_package(HDF5 REQUIRED COMPONENTS C HL)
add_library(midstream_hdf5 INTERFACE)
target_include_directories(midstream_hdf5 SYSTEM INTERFACE ${HDF5_INCLUDE_DIRS})
target_link_libraries(midstream_hdf5 INTERFACE ${HDF5_HL_LIBRARIES} ${HDF5_C_LIBRARIES} ${HDF5_LIBRARIES})
target_compile_definitions(midstream_hdf5 INTERFACE ${HDF5_DEFINITIONS})
add_library(midstream::hdf5 ALIAS midstream_hdf5)

# leveldb's own CMake file is not in every Debian release, and protozero and stb are headers alone.
function(midstream_find_library name header library)
  find_path(MIDSTREAM_${name}_INCLUDE ${header} PATH_SUFFIXES stb REQUIRED)
  add_library(midstream_${name} INTERFACE)
  target_include_directories(midstream_${name} SYSTEM INTERFACE ${MIDSTREAM_${name}_INCLUDE})
  if(library)
    find_library(MIDSTREAM_${name}_LIBRARY ${library} REQUIRED)
    target_link_libraries(midstream_${name} INTERFACE ${MIDSTREAM_${name}_LIBRARY})
  endif()
  add_library(midstream::${name} ALIAS midstream_${name})
endfunction()
midstream_find_library(leveldb leveldb/table.h leveldb)
midstream_find_library(protozero protozero/pbf_reader.hpp "")
midstream_find_library(stb stb_image.h "")

# One precompiled header for everything that does not see torch: parsing the standard library and fmt is otherwise a third
# of the time that a lowering takes to compile. cmake/MidstreamTorch.cmake has the one for the rest.
if(MIDSTREAM_PCH)
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/std_pch.cpp CONTENT "// Holds the precompiled header of what does not see torch.\n")
  add_library(midstream_std_pch STATIC ${PROJECT_BINARY_DIR}/std_pch.cpp)
  target_link_libraries(midstream_std_pch PRIVATE midstream_options fmt::fmt)
  target_precompile_headers(midstream_std_pch PRIVATE
    <algorithm> <array> <functional> <map> <memory> <optional> <set> <span> <string> <string_view> <unordered_map> <variant>
    <vector> <fmt/format.h> <nlohmann/json.hpp>)
endif()
