# How rooms, tests and the Python module are declared.
#
#   midstream_room(graph SOURCES graph.cpp text.cpp LINKS midstream_base)
#   midstream_room(run SOURCES executor.cpp LINKS midstream_libtorch TORCH)
#   midstream_test(graph_test SOURCES text_test.cpp LINKS midstream_graph)
#   midstream_python_module(_core SOURCES module.cpp LINKS midstream_train)
#
# LINKS are targets (midstream_<room>, fmt::fmt, ...) and are passed on to whoever links the room. TORCH makes torch's
# headers visible, as system headers and through the shared precompiled header; without it they are not to be found,
# except in what links a TORCH room: there tools/lint.py watches.

# add_subdirectory for a directory that has a CMakeLists.txt.
function(midstream_add_directory directory)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${directory}/CMakeLists.txt)
    add_subdirectory(${PROJECT_SOURCE_DIR}/${directory} ${PROJECT_BINARY_DIR}/rooms/${directory})
  endif()
endfunction()

function(midstream_use_torch target)
  target_link_libraries(${target} PUBLIC midstream_torch)
  if(MIDSTREAM_PCH)
    target_precompile_headers(${target} REUSE_FROM midstream_torch_pch)
  endif()
endfunction()

# The precompiled header of what does not see torch: cmake/MidstreamDependencies.cmake. It holds fmt, whose macros must
# be the same in every file that uses it.
function(midstream_use_std_pch target)
  if(MIDSTREAM_PCH)
    target_link_libraries(${target} PRIVATE fmt::fmt)
    target_precompile_headers(${target} REUSE_FROM midstream_std_pch)
  endif()
endfunction()

# Static library midstream_<name>; a room without SOURCES is an INTERFACE library (headers only).
function(midstream_room name)
  cmake_parse_arguments(ROOM "TORCH" "" "SOURCES;LINKS" ${ARGN})
  if(ROOM_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "midstream_room(${name}): unknown arguments ${ROOM_UNPARSED_ARGUMENTS}")
  endif()
  set(target midstream_${name})
  if(NOT ROOM_SOURCES)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE midstream_options ${ROOM_LINKS})
    return()
  endif()
  add_library(${target} STATIC ${ROOM_SOURCES})
  target_link_libraries(${target} PRIVATE midstream_options PUBLIC ${ROOM_LINKS})
  set_property(GLOBAL APPEND PROPERTY MIDSTREAM_ROOMS ${target})
  if(ROOM_TORCH)
    midstream_use_torch(${target})
  else()
    midstream_use_std_pch(${target})
  endif()
endfunction()

# A GoogleTest executable (with gtest's main); every TEST in it is a ctest of its own, named <name>.<Suite>.<Test>.
# Tests run in tests/, so that "data/x.keras" is found.
function(midstream_test name)
  cmake_parse_arguments(TEST "TORCH" "" "SOURCES;LINKS" ${ARGN})
  if(TEST_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "midstream_test(${name}): unknown arguments ${TEST_UNPARSED_ARGUMENTS}")
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PUBLIC ${TEST_LINKS} PRIVATE midstream_options GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(TEST_TORCH)
    midstream_use_torch(${name})
  else()
    midstream_use_std_pch(${name})
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests PROPERTIES TIMEOUT 600)
endfunction()

# midstream/<name>.so beside links to the package's Python files: `PYTHONPATH=build/python` is a working midstream.
function(midstream_python_module name)
  cmake_parse_arguments(MODULE "" "" "SOURCES;LINKS" ${ARGN})
  set(target midstream_python${name})
  set(package ${PROJECT_BINARY_DIR}/python/midstream)
  add_library(${target} MODULE ${MODULE_SOURCES})
  target_link_libraries(${target} PRIVATE midstream_options ${MODULE_LINKS} midstream_torch_python)
  target_compile_definitions(${target} PRIVATE TORCH_EXTENSION_NAME=${name})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} SUFFIX ".${Python3_SOABI}.so"
    CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${package})
  file(MAKE_DIRECTORY ${package})
  file(GLOB_RECURSE files RELATIVE ${PROJECT_SOURCE_DIR}/python/midstream CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/python/midstream/*.py ${PROJECT_SOURCE_DIR}/python/midstream/*.pyi
    ${PROJECT_SOURCE_DIR}/python/midstream/py.typed)
  foreach(file IN LISTS files)
    cmake_path(GET file PARENT_PATH parent)
    file(MAKE_DIRECTORY ${package}/${parent})
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/python/midstream/${file} ${package}/${file} SYMBOLIC)
  endforeach()
  # In a wheel torch stands beside midstream; where it was linked in from elsewhere, at its own place.
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../torch/lib;${MIDSTREAM_TORCH_LIB}")
  install(TARGETS ${target} LIBRARY DESTINATION midstream COMPONENT python)
endfunction()
