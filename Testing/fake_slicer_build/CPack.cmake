# Slicer packages an extension only under its project's name.
message(STATUS "Extension: ${PROJECT_NAME}")
