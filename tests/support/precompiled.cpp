// Holds the headers that are compiled once for all tests (CMakeLists.txt).
