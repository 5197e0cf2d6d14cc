# SPDX-License-Identifier: ISC
#
# glue_tests: the tests of a header of ours over another library: test_calls.c runs on the library's
# call and on ours, test_door.c tests what only ours does.

# A program of GLUE's folder of tests, with definitions.
function(glue_test glue name source)
  add_executable(${glue}_${name} ${source})
  set_target_properties(${glue}_${name} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON)
  target_compile_definitions(${glue}_${name} PRIVATE _GNU_SOURCE ${ARGN})
  target_compile_options(${glue}_${name} PRIVATE -Wno-unused-parameter)
  target_include_directories(${glue}_${name} PRIVATE ${PROJECT_SOURCE_DIR}/${glue}_glue)
  target_link_libraries(${glue}_${name} PRIVATE weir_static weir_warnings PkgConfig::CHECK
    PkgConfig::glue_${glue})
endfunction()

# GLUE's three programs; ON_PEER is defined where they test the library. Sets GLUE_TESTS in the caller
# to whether they can be built here.
function(glue_tests glue library module on_peer)
  find_package(PkgConfig)
  if(PKG_CONFIG_FOUND)
    pkg_check_modules(CHECK IMPORTED_TARGET check)
    pkg_check_modules(glue_${glue} IMPORTED_TARGET ${module})
  endif()
  if(NOT CHECK_FOUND OR NOT glue_${glue}_FOUND OR NOT WEIR_STATIC)
    message(STATUS "weir: the tests for ${library} are left out, because they need Check, ${library} and WEIR_STATIC")
    set(GLUE_TESTS OFF PARENT_SCOPE)
    return()
  endif()
  glue_test(${glue} calls_peer test_calls.c ${on_peer})
  glue_test(${glue} calls_door test_calls.c)
  glue_test(${glue} door test_door.c)
  add_test(NAME ${glue}/peer COMMAND ${glue}_calls_peer)
  add_test(NAME ${glue}/calls COMMAND ${glue}_calls_door)
  add_test(NAME ${glue}/door COMMAND ${glue}_door)
  add_custom_target(${glue}_tests DEPENDS ${glue}_calls_peer ${glue}_calls_door ${glue}_door)
  set(GLUE_TESTS ON PARENT_SCOPE)
endfunction()
