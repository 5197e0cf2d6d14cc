# SPDX-License-Identifier: ISC
#
# Install rules: the libraries, weir_remote.h, the CMake package, a pkg-config file.
install(TARGETS weir_remote weir_remote_static EXPORT weir-remoteTargets)
install(FILES csrc/weir_remote.h TYPE INCLUDE)

set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/weir-remote)
install(EXPORT weir-remoteTargets NAMESPACE weir:: DESTINATION ${_package})
configure_package_config_file(cmake/weir-remoteConfig.cmake.in weir-remoteConfig.cmake
  INSTALL_DESTINATION ${_package})
write_basic_package_version_file(weir-remoteConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weir-remoteConfig.cmake
  ${PROJECT_BINARY_DIR}/weir-remoteConfigVersion.cmake DESTINATION ${_package})

file(RELATIVE_PATH _pc_up "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
configure_file(cmake/weir-remote.pc.in weir-remote.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weir-remote.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
