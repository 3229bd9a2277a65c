/// Vectors over theta, by name: one array for each trained block, in the block's shape.
#pragma once

#include <string>

#include "basin/hdf5/file.h"
#include "basin/hdf5/reader.h"
#include "basin/network/parameters.h"

namespace basin::tools {

/// Writes it as a group.
void write_by_tensor(hdf5::Writer& file, const std::string& group, const ParameterLayout& parameters,
                     const Vector<double>& vector);

/// Reads such a group: an array for each trained block and nothing else. Throws InputError.
Vector<double> read_by_tensor(const hdf5::Reader& file, const std::string& group,
                              const ParameterLayout& parameters);

}  // namespace basin::tools
