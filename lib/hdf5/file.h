/// HDF5 files, and how they are written. With reader.h and trial.h the only place that calls the HDF5
/// library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "basin/hdf5/part_file.h"
#include "basin/hdf5/reader.h"

namespace basin::hdf5 {

/// A new file, which appears whole or not at all (hdf5/part_file.h). Parent groups are made on the way. Paths
/// are absolute, "/entry/model/N".
///
/// Throws InputError as PartFile does; WorkError when a write fails, for instance on a full disk.
class Writer {
 public:
  Writer(const std::string& path, bool overwrite);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// Makes the group unless it is there already.
  void group(const std::string& path, const std::string& nx_class = "");
  void write(const std::string& path, const double* values, const Extent& shape);
  void write(const std::string& path, const Vector<double>& values) {
    write(path, values.data(), {values.size()});
  }
  void write(const std::string& path, const std::vector<double>& values);
  void write(const std::string& path, double value) { write(path, &value, {}); }
  void write(const std::string& path, const std::vector<std::int64_t>& values);
  void write(const std::string& path, const std::vector<std::int64_t>& values, const Extent& shape);
  void write(const std::string& path, std::int64_t value);
  void write(const std::string& path, const std::string& value);
  void write(const std::string& path, const std::vector<std::string>& values, const Extent& shape);
  void write_bytes(const std::string& path, const std::vector<std::uint8_t>& values, const Extent& shape);
  void write_unsigned(const std::string& path, std::uint64_t value);
  void write_unsigned(const std::string& path, const std::vector<std::uint64_t>& values, const Extent& shape);
  /// Scalar attributes, as the viewers need them; the list becomes an array.
  void attribute(const std::string& object, const std::string& name, const std::string& value);
  void attribute(const std::string& object, const std::string& name, std::int64_t value);
  void attribute(const std::string& object, const std::string& name, double value);
  void attribute(const std::string& object, const std::string& name, const std::vector<std::string>& values);
  void attribute(const std::string& object, const std::string& name, const std::vector<std::int64_t>& values);
  /// A string of fixed length, ASCII, as VTK wants it.
  void ascii_attribute(const std::string& object, const std::string& name, const std::string& value);
  /// Gives the dimensions of a dataset names and coordinates: HDF5 dimension scales, by which netCDF and
  /// xarray read. `scales`: a dataset of one dimension for each, in the group of the dataset or one around
  /// it, for each of its names (netCDF looks nowhere else, and refuses the whole file), or "" for a dimension
  /// without. copy() leaves them out.
  void dimensions(const std::string& dataset, const std::vector<std::string>& scales);
  void hard_link(const std::string& existing, const std::string& link);
  /// Copies a group or dataset of another file, with all that is in it, to the same path.
  void copy(const Reader& from, const std::string& path);

  /// Closes the file and gives it its name. Nothing can be written afterwards.
  void commit();

  const std::string& path() const { return part_.path(); }

 private:
  void write_dataset(const std::string& path, hid_t memory_type, const void* values, const Extent& shape);
  void write_attribute(const std::string& object, const std::string& name, hid_t type, const void* values,
                       const Extent& shape);
  [[noreturn]] void fail(const std::string& object);

  PartFile part_;  // goes after the handle
  bool broken_ = false;
  Handle file_;
};

}  // namespace basin::hdf5
