# For builds against the ROS 2 wheels of PyPI only (-DCMAKE_PROJECT_INCLUDE=cmake/pypi_ros_wheels.cmake, see setup.py).
#
# Those wheels export the include path of the container they were built in (/opt/python/cp311-cp311/include/python3.11), and
# CMake rejects an imported target whose include path does not exist. Once CMakeLists.txt has been read, drop such paths.
function(drop_missing_include_directories)
  get_property(targets DIRECTORY "${CMAKE_SOURCE_DIR}" PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(existing "")
    foreach(directory IN LISTS directories)
      if(directory MATCHES "^\\$<" OR EXISTS "${directory}")
        list(APPEND existing "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
  endforeach()
endfunction()
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL drop_missing_include_directories)
