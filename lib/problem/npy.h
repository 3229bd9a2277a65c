/// NumPy's .npy files.
#pragma once

#include <string>
#include <vector>

#include "linalg/types.h"

namespace basin {

struct NpyArray {
  std::vector<Index> shape;
  Vector<double> values;  ///< in C order
};

/// Reads an array of float64 or float32, little-endian, in C or Fortran order, as numpy.save writes it
/// (format versions 1 to 3: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Throws
/// InputError, naming the file, for anything else, a truncated file, and numbers that are not finite.
NpyArray read_npy(const std::string& path);

}  // namespace basin
