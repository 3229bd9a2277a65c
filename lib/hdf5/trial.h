/// Files of others, tried before they are trusted.
#pragma once

#include <string>

namespace basin::hdf5 {

/// Reads an HDF5 file in a child process first: all its objects, attributes and strings, and the beginning of
/// what is stored in chunks. Damage can make the HDF5 library spin for ever or crash, and a process that it
/// does that in cannot say so. Throws InputError when the child crashes, or spends 2 s of processor time on
/// one object (3 s where the file has 100 MB, and so on). A file is tried once; where no child can be made it
/// is not tried.
void try_reading(const std::string& path);

}  // namespace basin::hdf5
