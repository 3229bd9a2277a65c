/// What a file says of itself: kind, format version, and where its numbers come from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "basin/hdf5/file.h"

namespace basin::hdf5 {

/// The version of FORMAT.md.
inline constexpr const char* kFormatVersion = "1.0";
/// Of problem files that describe their network, which readers of version 1 would misread.
inline constexpr const char* kDescribedFormat = "2.0";

/// Root attributes basin_file (`problem` or `result`) and basin_format.
void mark_kind(Writer& file, const std::string& kind, const std::string& version = kFormatVersion);

/// Throws InputError when the file says that it is of another kind or of a newer major version. A file
/// without these attributes, say one made by h5py, passes as a problem.
void check_kind(const Reader& file, const std::string& kind);

struct Provenance {
  std::string program, version, build, command_line;
  std::string lapack;                          ///< library and core that served (linalg/lapack.h)
  std::map<std::string, std::string> options;  ///< as resolved
  std::uint64_t seed = 0;
  std::string input_file, input_sha256;
  std::int64_t threads = 1;
  std::string start_time;  ///< UTC, ISO 8601
  double duration = 0;     ///< seconds
};

void write_provenance(Writer& file, const std::string& group, const Provenance& provenance);

/// Of what was read of a file so far: SHA-256 of its bytes as they were opened, whatever has its name now;
/// where other files were read through it, behind external links, virtual datasets or external storage, that
/// of the lines "SHA-256  NAME" of all of them, this file first. Throws InputError when one was changed in
/// the meantime.
std::string sha256_of(const Reader& file);

/// SHA-256 of a file's bytes, in hexadecimal. Throws InputError when it cannot be read.
std::string sha256_of_file(const std::string& path);

/// One checksum of many files of a folder: that of the lines "SHA-256  NAME" of sha256sum, called there with
/// these names.
std::string sha256_of_files(const std::string& folder, const std::vector<std::string>& names);

}  // namespace basin::hdf5
