include(CTest)
include(CMakeParseArguments)

# Copies at build time and installs the folder, as CTK's macro does (which compiles the scripts as well).
function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR" "TARGET_NAME;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${ARGN})
  set(copies)
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    get_filename_component(extension ${file} EXT)
    if("${extension}" STREQUAL "")
      set(file ${file}.py)
    endif()
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    if(NOT EXISTS ${source})
      message(FATAL_ERROR "${MY_TARGET_NAME}: nonexistent file '${file}'")
    endif()
    set(copy ${MY_DESTINATION_DIR}/${file})
    add_custom_command(OUTPUT ${copy} DEPENDS ${source} COMMAND ${CMAKE_COMMAND} -E copy ${source} ${copy})
    list(APPEND copies ${copy})
  endforeach()
  add_custom_target(Copy${MY_TARGET_NAME}PythonFiles ALL DEPENDS ${copies})
  set(folder ${MY_DESTINATION_DIR})
  if(MY_NO_INSTALL_SUBDIR)
    set(folder ${MY_DESTINATION_DIR}/)
  endif()
  install(DIRECTORY ${folder} DESTINATION ${MY_INSTALL_DIR} COMPONENT RuntimeLibraries)
endfunction()

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY_MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Unknown keywords given to slicerMacroBuildScriptedModule(): ${MY_MODULE_UNPARSED_ARGUMENTS}")
  endif()
  ctkMacroCompilePythonScript(
    TARGET_NAME ${MY_MODULE_NAME}
    SCRIPTS "${MY_MODULE_SCRIPTS}"
    RESOURCES "${MY_MODULE_RESOURCES}"
    DESTINATION_DIR ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
    INSTALL_DIR ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    NO_INSTALL_SUBDIR
    )
endmacro()

function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
    message(FATAL_ERROR "slicer_add_python_unittest: nonexistent script '${MY_SCRIPT}'")
  endif()
  get_filename_component(name ${MY_SCRIPT} NAME_WE)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${name} COMMAND ${CMAKE_COMMAND} -E true)
endfunction()
