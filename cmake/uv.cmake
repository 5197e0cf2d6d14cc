# SPDX-License-Identifier: ISC
#
# libweir-uv.so: the core and uv_glue/preload.c. It is not linked to libuv, because it uses
# the one of the program that it is loaded into.
find_package(PkgConfig)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(UV_HEADER QUIET libuv)
endif()
if(NOT UV_HEADER_FOUND)
  message(STATUS "weir: libweir-uv.so is left out, because libuv is not here")
  return()
endif()

add_library(weir_uv MODULE uv_glue/preload.c $<TARGET_OBJECTS:weir_objects>)
set_target_properties(weir_uv PROPERTIES OUTPUT_NAME weir-uv PREFIX lib C_STANDARD 11
  C_STANDARD_REQUIRED ON C_VISIBILITY_PRESET hidden
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/uv.map)
target_include_directories(weir_uv PRIVATE csrc uv_glue ${UV_HEADER_INCLUDE_DIRS})
target_link_libraries(weir_uv PRIVATE Threads::Threads weir_warnings ${CMAKE_DL_LIBS})
target_link_options(weir_uv PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/uv.map)
