# SPDX-License-Identifier: ISC
#
# Install rules: the libraries, weir.h, the CMake package and a pkg-config file
# that goes on working when the prefix is moved.
install(TARGETS ${_libraries} EXPORT weirTargets)
install(FILES csrc/weir.h uv_glue/weir_uv.h glib_glue/weir_glib.h TYPE INCLUDE)
if(TARGET weir_uv)
  install(TARGETS weir_uv DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET weir-top)
  install(TARGETS weir-top DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# For gdb: by hand, and found by itself when it loads the library, if the prefix is its own. The
# folder has the library's in its name, which `cmake --install --prefix` may choose anew.
install(FILES inspect/weir-gdb.py DESTINATION ${CMAKE_INSTALL_DATADIR}/weir)
if(TARGET weir AND UNIX AND NOT APPLE)
  install(CODE "
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    get_filename_component(lib \"${CMAKE_INSTALL_LIBDIR}\" ABSOLUTE BASE_DIR \"\${prefix}\")
    get_filename_component(data \"${CMAKE_INSTALL_DATADIR}\" ABSOLUTE BASE_DIR \"\${prefix}\")
    file(INSTALL \"${PROJECT_SOURCE_DIR}/inspect/weir-gdb.py\" DESTINATION \"\${data}/gdb/auto-load\${lib}\"
      RENAME libweir.so.${PROJECT_VERSION}-gdb.py)")
endif()

set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${_package})
configure_package_config_file(cmake/weirConfig.cmake.in weirConfig.cmake
  INSTALL_DESTINATION ${_package})
write_basic_package_version_file(weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weirConfig.cmake ${PROJECT_BINARY_DIR}/weirConfigVersion.cmake
  DESTINATION ${_package})

file(RELATIVE_PATH _pc_up "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
foreach(_dir LIBDIR INCLUDEDIR)
  set(_pc_${_dir} "${CMAKE_INSTALL_${_dir}}")
  if(NOT IS_ABSOLUTE "${_pc_${_dir}}")
    string(PREPEND _pc_${_dir} "\${prefix}/")
  endif()
endforeach()
configure_file(cmake/weir.pc.in weir.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
