/// Result files of sweeps (lib/hdf5/FORMAT.md).
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "basin/hdf5/result_file.h"
#include "basin/linalg/statistics.h"
#include "common/sweep/plan.h"

namespace basin::tools {

/// A sweep and what was measured so far.
struct SweepResult {
  explicit SweepResult(SweepPlan of);

  SweepPlan plan;
  std::vector<std::uint8_t> computed;       ///< draws: 1 when done
  std::vector<std::vector<double>> values;  ///< quantity, draw; NaN when not done or not applicable

  /// Fills in a draw.
  void set(Index draw, const std::vector<double>& of_draw);
  Index done() const;
  /// Draws that are done and have no number at all: they could not be measured.
  Index failed() const;

  /// The values of a quantity over the draws of some cells, ascending, without NaN.
  std::vector<double> sorted(std::size_t quantity, const std::vector<Index>& cells) const;

  struct Share {
    Index passed = 0, judged = 0;
    double value() const {
      return judged > 0 ? static_cast<double>(passed) / static_cast<double>(judged)
                        : std::numeric_limits<double>::quiet_NaN();
    }
    Interval interval() const { return wilson_interval(passed, judged); }
  };
  /// How many of the draws of some cells pass a verdict.
  Share share(std::size_t verdict, const std::vector<Index>& cells) const;
  std::vector<Index> all_cells() const;

  /// The quantity of this name, or -1.
  int find(const std::string& quantity) const;
};

/// Everything but title, verdict and provenance.
void write_sweep(hdf5::Writer& file, const SweepResult& result);

/// The group that viewers open first: the shares of this verdict.
std::string share_group(const std::string& verdict);

/// Throws InputError, naming the file, unless it is a result of basin-sweep.
SweepResult read_sweep(const hdf5::Reader& file);

}  // namespace basin::tools
