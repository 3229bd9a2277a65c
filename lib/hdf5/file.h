/// HDF5 files: the only place, with file.cpp, that calls the HDF5 library.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hdf5/part_file.h"
#include "linalg/types.h"

namespace basin::hdf5 {

/// Closes what it holds.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close_function) : id_(id), close_(close_function) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Gives up the handle without closing it.
  void release() { id_ = -1; }
  /// Closes now; negative on failure.
  herr_t close() { return id_ >= 0 ? close_(std::exchange(id_, -1)) : 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

using Extent = std::vector<Index>;

/// "(2, 3, 4)"
std::string text(const Extent& shape);

struct Array {
  Extent shape;
  Vector<double> values;  ///< in C order
};

/// A file opened for reading. Every error is an InputError that names the file, the object, what was found
/// and what was expected.
class Reader {
 public:
  explicit Reader(const std::string& path);

  const std::string& path() const { return path_; }
  bool has(const std::string& object) const;
  /// Names of the members of a group, for error messages.
  std::vector<std::string> members(const std::string& group) const;
  /// float32 or float64 data of the given rank (any rank when negative), all finite; float32 is widened.
  Array read_array(const std::string& dataset, int rank = -1) const;
  /// Numbers of any type and rank as doubles, also NaN and infinity.
  Array read_numbers(const std::string& dataset) const;
  /// A dataset that is one string of variable length, as Writer writes it.
  std::string read_string(const std::string& dataset) const;
  /// A string attribute, fixed or variable length; empty when it is not there.
  std::string string_attribute(const std::string& object, const std::string& name) const;
  /// A number attribute, also one written as text; nothing when it is not there.
  std::optional<double> number_attribute(const std::string& object, const std::string& name) const;

 private:
  friend class Writer;
  [[noreturn]] void fail(const std::string& object, const std::string& message) const;
  Handle open_dataset(const std::string& path) const;
  Array read_doubles(const std::string& path, hid_t dataset, int rank) const;
  std::string path_;
  Handle file_;
};

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
