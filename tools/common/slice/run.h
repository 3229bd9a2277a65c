/// A run of basin-slice: it goes on where another was stopped.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/command/journal.h"
#include "common/slice/directions.h"
#include "common/slice/file.h"
#include "common/slice/quantities.h"
#include "common/slice/trajectory.h"

namespace basin::tools {

inline const std::string kSliceProgram = "basin-slice";

/// What is asked for, besides point and directions.
struct SliceRequest {
  Grid grid;
  std::vector<std::string> quantities;
  Index share, shares;
  double write_every;  ///< seconds
  bool overwrite, resume;
};

/// A path of a training run, and the checksum of its file; empty where none is given.
struct PathRead {
  std::optional<Trajectory> trajectory;
  std::string sha256;

  const Trajectory* pointer() const { return trajectory ? &*trajectory : nullptr; }
};

/// A slice: what it is of, and how far it is.
class SliceRun {
 public:
  /// All that comes before the first point, and what the journal has. Refers to command and setup.
  /// Throws InputError for what options, point and files do not allow.
  SliceRun(Command& command, const Setup& setup, SliceRequest request);

  /// Whether the result was there already, complete: the run before was killed before it could delete its
  /// journal.
  bool was_finished() const { return was_finished_; }
  /// Measures what is missing; writes the growing result from time to time.
  void measure();
  /// In words for people: of all points, then of directions, path and model.
  void say_summary();
  /// The result as far as it is.
  void write();
  void remove_journal() { journal_.remove(); }

 private:
  /// Whether the result that is there is complete. Throws InputError when it is of another slice.
  bool check_found() const;
  std::optional<PathOnPlane> path_on() const;
  /// The plane of a line, from 0; of a slice that is no bundle of lines, its plane.
  std::unique_ptr<PlaneLoss> plane_of(Index line) const;
  Grid grid_of_plane() const { return directions_.lines > 1 ? Grid{grid_.x, {0, 0, 1}} : grid_; }
  Index line_of(Index piece) const { return directions_.lines > 1 ? pieces_[piece].row : 0; }
  Specification of_this_share() const;
  /// Takes over what the journal has.
  void resume();
  std::vector<Index> missing_pieces() const;
  /// The next pieces from `first` that are measured together: at most so many, of one line.
  std::vector<Index> next(const std::vector<Index>& missing, std::size_t first, Index most) const;
  void measure(const std::vector<Index>& pieces);

  Command& command_;
  const Setup& setup_;
  SliceRequest request_;
  bool found_;  // the result of a run that is resumed
  PathRead path_read_;
  SliceMeasurement measurement_;
  Directions directions_;
  Grid grid_;
  std::vector<Piece> pieces_;
  std::optional<PathOnPlane> path_;
  Index line_ = 0;
  std::unique_ptr<PlaneLoss> plane_;  // of that line
  SliceResult result_;
  bool was_finished_;
  bool mine_;  // what has the name of the result may be replaced
  Journal journal_;
};

}  // namespace basin::tools
