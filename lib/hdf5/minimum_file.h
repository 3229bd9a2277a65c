/// The known global minimum in a problem file (FORMAT.md).
#pragma once

#include "hdf5/file.h"
#include "problem/known_minimum.h"

namespace basin::hdf5 {

void write_minimum(Writer& file, const KnownMinimum& minimum, Index D, Index D_out);

/// Nothing where the file has none, or one of another kernel, bandwidth or size than the model. Throws
/// InputError for one that cannot be.
std::optional<KnownMinimum> read_minimum(const Reader& file, const AttentionSpec& spec);

}  // namespace basin::hdf5
