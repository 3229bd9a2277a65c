/// NumPy's .npy files.
#pragma once

#include <string>
#include <vector>

#include "basin/linalg/types.h"

namespace basin {

struct NpyArray {
  std::vector<Index> shape;
  Vector<double> values;  ///< in C order
  bool floating = true;   ///< else they are stored as integers or booleans
};

/// What the numbers of a file may be.
enum class NpyNumbers {
  floating,  ///< float64 or float32
  whole,     ///< or integers of any size, or booleans, as 0 and 1
};

/// Reads an array of float64 or float32 (or `numbers`), in any byte order, in C or Fortran order (format
/// versions 1 to 3: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). The header may
/// be anyone's: keys in any order, either quotes, blanks anywhere, the integers of Python 2. Throws
/// InputError, naming the file and what was found, for anything else: other types, a size that the file does
/// not have, more than memory holds (nothing is allocated before both are known), and numbers that are not
/// finite.
NpyArray read_npy(const std::string& path, NpyNumbers numbers = NpyNumbers::floating);

}  // namespace basin
