/// How HDF5 files are read: nothing that a file says is believed before it is checked.
#pragma once

#include <sys/stat.h>

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "basin/hdf5/handle.h"
#include "basin/linalg/types.h"

namespace basin::hdf5 {

using Extent = std::vector<Index>;

/// In an expected extent: any size.
inline constexpr Index kAnySize = -1;
/// Whole numbers up to this one are told apart in double precision.
inline constexpr Index kLargestIndex = Index(1) << 53;

/// "(2, 3, 4)"
std::string text(const Extent& shape);

struct Array {
  Extent shape;
  Vector<double> values;  ///< in C order
};

/// A file opened for reading. Every error is an InputError of one line that names the file, the object, what
/// was found and what was expected.
///
/// A file of somebody else is tried in a child process first (hdf5/trial.h). Soft and external links are
/// followed here, not by the library, so that the files behind them are known, tried and opened once. Before
/// numbers are read, there must be memory for them and a copy, and the file must hold them: not chunks that
/// were never written, nor sources of virtual datasets or external storage that are gone, for all of which
/// the library gives zeros.
class Reader {
 public:
  explicit Reader(const std::string& path);

  const std::string& path() const { return path_; }
  /// Whether there is a link of that name; where it leads to nothing, that is an error.
  bool has(const std::string& object) const;
  bool has_group(const std::string& object) const;
  /// Names of the members of a group, and of the attributes of an object.
  std::vector<std::string> members(const std::string& group) const;
  std::vector<std::string> attributes(const std::string& object) const;
  /// float32 or float64 data of the given rank (any rank when negative), all finite; float32 is widened.
  Array read_array(const std::string& dataset, int rank = -1) const;
  /// Numbers of any type as doubles, also NaN and infinity.
  Array read_numbers(const std::string& dataset) const;
  /// The same, of a known shape; kAnySize stands for any number in its place.
  Array read_numbers(const std::string& dataset, const Extent& expected) const;
  /// One number, also NaN or infinity; a finite one.
  double read_number(const std::string& dataset) const;
  double read_finite(const std::string& dataset) const;
  /// A whole number in a range.
  Index read_index(const std::string& dataset, Index least, Index most = kLargestIndex) const;
  /// So many whole numbers in a range (any number of them for kAnySize).
  std::vector<Index> read_indices(const std::string& dataset, Index count, Index least,
                                  Index most = kLargestIndex) const;
  /// A dataset that is one string of variable length, as Writer writes it.
  std::string read_string(const std::string& dataset) const;
  /// A string attribute, fixed or variable length; empty when it is not there.
  std::string string_attribute(const std::string& object, const std::string& name) const;
  /// A number attribute, also one written as text; nothing when it is not there.
  std::optional<double> number_attribute(const std::string& object, const std::string& name) const;

  /// Throws InputError "FILE: OBJECT: MESSAGE".
  [[noreturn]] void refuse(const std::string& object, const std::string& message) const;

  /// A file that was read: its name (of this one without folder, of others as the file refers to them) and a
  /// descriptor that is open on it.
  struct Source {
    std::string name;
    int descriptor;
  };
  /// This file, and those that what was read so far is in. Throws InputError if one was changed since it was
  /// opened.
  std::vector<Source> sources() const;

 private:
  friend class Writer;
  /// Where a path leads: a file and a path in it without links, or `there` is false.
  struct Place {
    const Reader* file;
    std::string path;
    bool there;
  };
  struct Dataset {
    const Reader* file;
    std::string path;
    Handle id;
  };
  /// A file that this one refers to: another HDF5 file, or one of raw numbers.
  struct Linked {
    std::string name;
    std::unique_ptr<const Reader> file;
    std::shared_ptr<const int> raw;
    struct stat status {};
  };

  Place follow(const std::string& path, int links = 0) const;
  const Reader& linked(const std::string& name, const char* prefixes, const std::string& object) const;
  std::string find(const std::string& name, const char* prefixes, const std::string& object) const;
  Place place_of(const std::string& object) const;
  Dataset open_dataset(const std::string& path) const;
  Array read_doubles(const Dataset& dataset) const;
  void check_present(const std::string& path, hid_t dataset) const;
  void check_chunks(const std::string& path, hid_t dataset, hid_t creation, const Extent& shape) const;
  void check_external(const std::string& path, hid_t dataset, hid_t creation, double count) const;
  void check_virtual(const std::string& path, hid_t creation, double count) const;

  std::string path_;
  Handle file_;
  int descriptor_ = -1;
  struct stat status_ {};
  mutable std::map<std::string, Linked> linked_;  ///< by the path that was found
  mutable int depth_ = 0;                         ///< of virtual datasets of virtual datasets
};

}  // namespace basin::hdf5
