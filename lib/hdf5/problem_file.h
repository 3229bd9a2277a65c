/// Problem files (FORMAT.md).
#pragma once

#include "hdf5/file.h"
#include "problem/problem.h"

namespace basin::hdf5 {

/// Throws InputError, naming the file and the dataset, for anything missing, misshaped or not finite.
Problem read_problem(const Reader& file);

/// The network that made the targets, if the file has it; read_problem leaves it out.
std::optional<Network> read_teacher(const Reader& file, const Problem& problem);

void write_problem(Writer& file, const Problem& problem);

}  // namespace basin::hdf5
