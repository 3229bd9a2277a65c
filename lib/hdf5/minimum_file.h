/// The known global minimum in a problem file (FORMAT.md).
#pragma once

#include "basin/hdf5/file.h"
#include "basin/problem/known_minimum.h"

namespace basin::hdf5 {

void write_minimum(Writer& file, const KnownMinimum& minimum, Index D, Index D_out);

/// That of the file, of whatever kernel, heads and head dimension (0 where it has no blocks); nothing where
/// the file has none, or one of other data. Throws InputError for one that cannot be.
std::optional<KnownMinimum> read_minimum(const Reader& file, Index D, Index D_out);

}  // namespace basin::hdf5
