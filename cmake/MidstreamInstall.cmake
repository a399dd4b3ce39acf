# What C++ users get: libmidstream.so, the headers, and the package for find_package(midstream). Component "cpp".
#   cmake --install build --component cpp --prefix /where
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/midstream)
set_target_properties(midstream PROPERTIES INSTALL_RPATH "$ORIGIN;${MIDSTREAM_TORCH_LIB}")
install(TARGETS midstream EXPORT midstreamTargets COMPONENT cpp LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cpp
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cpp)
install(EXPORT midstreamTargets NAMESPACE midstream:: DESTINATION ${package_directory} COMPONENT cpp)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/midstream DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT cpp)
# The rooms' own headers, which midstream.h includes by their place below src/.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/midstream/rooms COMPONENT cpp
  FILES_MATCHING PATTERN "*.h" PATTERN "cli" EXCLUDE)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/midstreamConfig.cmake.in
  ${PROJECT_BINARY_DIR}/cmake/midstreamConfig.cmake INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/midstreamConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cmake/midstreamConfig.cmake ${PROJECT_BINARY_DIR}/cmake/midstreamConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/MidstreamTorch.cmake DESTINATION ${package_directory} COMPONENT cpp)
