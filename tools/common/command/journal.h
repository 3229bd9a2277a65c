/// A file that keeps finished pieces of long work, so that a run that was killed can go on.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "basin/linalg/types.h"
#include "common/command/specification.h"

namespace basin::tools {

/// The records of one piece of work, each a number and some values, in a text file:
///
///     basin-journal 1
///     NAME = VALUE ...                       the specification
///     specification CHECKSUM
///     NUMBER VALUE VALUE ... CHECKSUM        one line a record; hexadecimal floats, so that no bit is lost
///
/// A record is one write at the end of the file. What a killed process leaves is whole lines and perhaps a
/// torn one; a line that fails its checksum counts as not written. A record that comes 5 s or more after the
/// last synchronisation is synchronised with the disk, and all before it: a machine that fails loses the
/// records of some seconds. (For each record that would take longer than small pieces of work themselves.)
class Journal {
 public:
  /// Starts the journal, or with `resume` goes on with the one that is there, if any; one without a record is
  /// started anew. Throws InputError when one is there without `resume`, when it is of other work, or in use
  /// by another process, and when it cannot be written. While it is there, an interrupt says how to go on.
  Journal(std::string path, const Specification& specification, std::size_t values_per_record, bool resume);
  /// Deletes a journal without a record: work that failed at its start leaves nothing.
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// What earlier runs have finished.
  const std::map<Index, std::vector<double>>& records() const { return records_; }
  /// Whole lines that failed their checksum.
  Index damaged() const { return damaged_; }

  /// Adds a record; any thread may. Throws WorkError when it cannot be written.
  void append(Index number, const std::vector<double>& values);

  /// Deletes the file: the work is done and its result is safe.
  void remove();

 private:
  void read(const Specification& specification, bool resume);
  bool read_record(const std::string& line);
  void cut(std::size_t size);
  void write(const std::string& text);

  std::string path_;
  std::size_t values_per_record_;
  int file_ = -1;
  bool empty_ = true;  ///< no record, also none that is damaged
  std::mutex mutex_;
  std::chrono::steady_clock::time_point synced_ = std::chrono::steady_clock::now();
  std::map<Index, std::vector<double>> records_;
  Index damaged_ = 0;
};

}  // namespace basin::tools
