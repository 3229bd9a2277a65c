/// Problem files (FORMAT.md).
#pragma once

#include "hdf5/file.h"
#include "problem/problem.h"

namespace basin::hdf5 {

/// Throws InputError, naming the file and the dataset, for anything missing, misshaped or not finite.
Problem read_problem(const Reader& file);

void write_problem(Writer& file, const Problem& problem);

}  // namespace basin::hdf5
