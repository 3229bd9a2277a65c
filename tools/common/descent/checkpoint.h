/// What a run of descent leaves beside its output while it runs, so that one that was killed can go on.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "basin/training/recorded_descent.h"
#include "common/command/journal.h"

namespace basin::tools {

/// All that is needed to go on to the same bits.
struct Checkpoint {
  Descent run;                               ///< of the point only theta
  Counts counts;                             ///< spent so far
  std::map<std::string, double> numbers;     ///< the account, and the steps taken
  std::vector<std::vector<double>> records;  ///< rows so far, equally long
  std::string of_run = {};                   ///< checksum of the specification
};

/// Of a run and its records so far.
Checkpoint checkpoint_at(const RecordedRun& run, const std::vector<std::vector<double>>& records);

/// Puts f and the run, whose start is there, back to where the checkpoint was made. path: its file, for
/// errors. Throws InputError where a number is missing.
void go_back_to(const Checkpoint& checkpoint, const std::string& path, ModelObjective& f, RecordedRun& run);

/// OUTPUT.journal keeps the weights at every checkpoint, the rows of the trajectory (command/journal.h; a
/// record is a step and all weights). OUTPUT.checkpoint, an HDF5 file, holds the state at the last one and is
/// replaced whole, with a checksum of its content: at any moment the two are those
/// of one checkpoint, or the journal is one row ahead.
class CheckpointFiles {
 public:
  /// As for Journal. Throws InputError also when a checkpoint is there without its journal's rows.
  CheckpointFiles(const std::string& output, const Specification& specification, Index weights, bool resume);

  /// The last checkpoint of an earlier run, if there is one.
  const std::optional<Checkpoint>& found() const { return found_; }
  /// Rows of the trajectory, by step.
  const std::map<Index, std::vector<double>>& trajectory() const { return trajectory_; }

  void save(const Checkpoint& checkpoint, const Vector<double>& weights);
  /// Deletes both files, and what killed runs left of them: the work is done and its result is safe.
  void remove();

 private:
  std::string path_;
  std::string run_;                  ///< checksum of the specification
  std::optional<Checkpoint> found_;  // read first: what is damaged is said to be, whatever run it is of
  Journal journal_;
  std::map<Index, std::vector<double>> trajectory_;
};

}  // namespace basin::tools
