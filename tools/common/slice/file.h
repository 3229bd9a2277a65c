/// Result files of slices (lib/hdf5/FORMAT.md).
#pragma once

#include <string>
#include <vector>

#include "basin/hdf5/result_file.h"
#include "basin/landscape/grid.h"
#include "common/command/journal.h"

namespace basin::tools {

inline constexpr double kMostPoints = 1e8;  ///< of a grid

/// The value of a name in a specification; empty if it is not there.
std::string specified(const Specification& specification, const std::string& name);

/// What is measured at the points of a grid.
struct SliceResult {
  SliceResult(Specification of, const Grid& on, std::vector<std::string> names);

  Specification specification;
  Grid grid;                                ///< of lines, y counts them
  std::vector<std::string> quantities;      ///< "train_loss" first, then others: see kQuantities
  std::vector<std::uint8_t> computed;       ///< points, row by row: 1 when done
  std::vector<std::vector<double>> values;  ///< quantity, point; the sentinel where it is not computed
  double center_loss = 0;

  bool of_line() const;   ///< one, along u
  bool of_lines() const;  ///< many random ones
  /// Of what outputs the NTK is, "logit differences"; empty: of all that count.
  std::string ntk_rows() const { return specified(specification, "ntk"); }
  /// The values of a piece, quantity by quantity, each in kLongestPiece places.
  void set(const Piece& piece, const std::vector<double>& of_piece);
  Index done() const;
  bool complete() const { return done() == grid.size(); }
};

/// Everything but title, verdict, provenance, model and directions.
void write_slice(hdf5::Writer& file, const SliceResult& result);

/// "on a plane through the point", for titles.
std::string place_text(const SliceResult& result);

/// Throws InputError, naming the file, unless it is a result of basin-slice.
SliceResult read_slice(const hdf5::Reader& file);

/// The axis as on the command line, "-1:1:51", and back. Throws InputError.
std::string axis_text(const Axis& axis);
Axis parse_axis(const std::string& option, const std::string& text);

}  // namespace basin::tools
