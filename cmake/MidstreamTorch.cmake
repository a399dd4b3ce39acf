# libtorch as the INTERFACE target midstream_torch, and its precompiled header. Looked for in this order:
#   1. CMAKE_PREFIX_PATH or Torch_DIR given by the user (an unpacked libtorch, any 2.9 .. 2.13)
#   2. the torch of the active Python environment (2.9 .. 2.13)
#   3. the torch of the project's own .venv
# The target is put together here and not by find_package(Torch): that one asks for the CUDA toolkit when the wheel was
# built with CUDA, although using the wheel needs none of it, and it edits CMAKE_CXX_FLAGS for the whole project.
# Python, where the torch came from a wheel, is that wheel's interpreter: midstream_torch_python is for the binding.
set(MIDSTREAM_TORCH_MIN 2.9)
set(MIDSTREAM_TORCH_MAX 2.14)  # exclusive

# The version below which torch's directory at `root` stands, or "".
function(midstream_torch_version root result)
  set(version "")
  if(EXISTS ${root}/version.py)
    file(STRINGS ${root}/version.py line REGEX "__version__ *=")
    string(REGEX MATCH "[0-9]+\\.[0-9]+(\\.[0-9]+)?" version "${line}")
  elseif(EXISTS ${root}/build-version)
    file(STRINGS ${root}/build-version line LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+\\.[0-9]+(\\.[0-9]+)?" version "${line}")
  endif()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

# Where the interpreter's torch lies, or "". -I: pip's build isolation hides the environment's packages with PYTHONPATH,
# and it is the environment's torch that the module will run with.
function(midstream_torch_of_python python result)
  execute_process(
    COMMAND ${python} -I -c "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${result} "${root}" PARENT_SCOPE)
endfunction()

set(torch_root "")
set(torch_python "")
find_path(MIDSTREAM_TORCH_CONFIG TorchConfig.cmake
  HINTS ${Torch_DIR} PATHS ${CMAKE_PREFIX_PATH} ENV CMAKE_PREFIX_PATH PATH_SUFFIXES share/cmake/Torch cmake/Torch Torch NO_DEFAULT_PATH)
if(MIDSTREAM_TORCH_CONFIG)
  cmake_path(SET torch_root NORMALIZE ${MIDSTREAM_TORCH_CONFIG}/../../..)
  find_program(MIDSTREAM_ACTIVE_PYTHON NAMES python3 python)
  set(torch_python ${MIDSTREAM_ACTIVE_PYTHON})
else()
  set(candidates "")
  if(DEFINED Python_EXECUTABLE)  # scikit-build-core names the interpreter it builds for
    list(APPEND candidates ${Python_EXECUTABLE})
  endif()
  find_program(MIDSTREAM_ACTIVE_PYTHON NAMES python3 python)
  if(MIDSTREAM_ACTIVE_PYTHON)
    list(APPEND candidates ${MIDSTREAM_ACTIVE_PYTHON})
  endif()
  list(APPEND candidates ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  foreach(candidate IN LISTS candidates)
    if(NOT torch_root AND EXISTS ${candidate})
      midstream_torch_of_python(${candidate} root)
      midstream_torch_version("${root}" version)
      if(version AND version VERSION_GREATER_EQUAL MIDSTREAM_TORCH_MIN AND version VERSION_LESS MIDSTREAM_TORCH_MAX)
        set(torch_root ${root})
        set(torch_python ${candidate})
      endif()
    endif()
  endforeach()
endif()
if(NOT torch_root AND MIDSTREAM_TORCH_HINT)  # an installed midstream remembers what it was built with
  set(torch_root ${MIDSTREAM_TORCH_HINT})
endif()
if(NOT torch_root)
  message(FATAL_ERROR "midstream needs libtorch ${MIDSTREAM_TORCH_MIN} or newer (below ${MIDSTREAM_TORCH_MAX}). "
    "Run `make build`, which installs it into .venv, or activate an environment that has torch, "
    "or pass -DCMAKE_PREFIX_PATH=<unpacked libtorch>.")
endif()
midstream_torch_version(${torch_root} MIDSTREAM_TORCH_VERSION)
message(STATUS "midstream: torch ${MIDSTREAM_TORCH_VERSION} in ${torch_root}")

add_library(midstream_torch INTERFACE)
# -idirafter: system headers (no -Werror), and searched last, so that torch's own copy of fmt does not hide Debian's.
target_compile_options(midstream_torch INTERFACE
  "SHELL:-idirafter ${torch_root}/include" "SHELL:-idirafter ${torch_root}/include/torch/csrc/api/include")
target_link_directories(midstream_torch INTERFACE ${torch_root}/lib)
# --no-as-needed: nothing names libtorch_cuda, its kernels register themselves when it is loaded.
target_link_options(midstream_torch INTERFACE LINKER:--no-as-needed)
set(torch_libraries torch torch_cpu c10)
foreach(optional torch_cuda c10_cuda)
  if(EXISTS ${torch_root}/lib/lib${optional}.so)
    list(APPEND torch_libraries ${optional})
  endif()
endforeach()
foreach(library IN LISTS torch_libraries)
  target_link_libraries(midstream_torch INTERFACE ${torch_root}/lib/lib${library}.so)
endforeach()
target_link_libraries(midstream_torch INTERFACE Threads::Threads)
set(CMAKE_BUILD_RPATH ${torch_root}/lib)
set(MIDSTREAM_TORCH_ROOT ${torch_root})
set(MIDSTREAM_TORCH_LIB ${torch_root}/lib)

if(MIDSTREAM_PYTHON)
  set(Python3_EXECUTABLE ${torch_python})
  find_package(Python3 3.11 COMPONENTS Interpreter Development.Module)
  if(Python3_FOUND AND EXISTS ${torch_root}/lib/libtorch_python.so)
    add_library(midstream_torch_python INTERFACE)
    target_include_directories(midstream_torch_python SYSTEM INTERFACE ${Python3_INCLUDE_DIRS})
    target_link_libraries(midstream_torch_python INTERFACE midstream_torch ${torch_root}/lib/libtorch_python.so)
  elseif(DEFINED SKBUILD)
    message(FATAL_ERROR "midstream: the wheel needs Python 3.11 or newer, its headers and torch's libtorch_python")
  else()
    message(STATUS "midstream: no Python headers or no libtorch_python beside libtorch: the Python module is left out")
    set(MIDSTREAM_PYTHON OFF)
  endif()
endif()

# One precompiled header for all rooms that see torch; ATen/ATen.h alone costs 11 s a file without it.
# midstream_torch_pch is for executables and libraries alike, midstream_room(... TORCH) and midstream_test(... TORCH) use it.
if(MIDSTREAM_PCH)
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/torch_pch.cpp CONTENT "// Holds the precompiled header of the torch rooms.\n")
  add_library(midstream_torch_pch STATIC ${PROJECT_BINARY_DIR}/torch_pch.cpp)
  target_link_libraries(midstream_torch_pch PRIVATE midstream_options midstream_torch)
  target_precompile_headers(midstream_torch_pch PRIVATE
    <ATen/core/ivalue.h> <ATen/core/dispatch/Dispatcher.h> <ATen/ATen.h>)
endif()
