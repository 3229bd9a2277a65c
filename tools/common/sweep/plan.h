/// Which draws make up a sweep, and the seed of each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/command/journal.h"
#include "common/sweep/axis.h"
#include "common/sweep/quantity.h"

namespace basin::tools {

inline constexpr double kMostDraws = 1e7;  ///< of a sweep

/// The cells are the product of the axes, the last one fastest; every cell has `repeats` draws. Draw number
/// cell * repeats + repeat.
struct SweepPlan {
  std::string program_version = version(), format_version = hdf5::kFormatVersion;
  std::string kind;          ///< of problem (sweep_kinds)
  std::string input;         ///< the folder of texts, the description of the network, or the problem file
  std::string input_sha256;  ///< of all that is read: what changes makes another sweep
  std::vector<SweepAxis> axes;
  Index repeats = 0;
  std::uint64_t base_seed = 0;
  Specification fixed;               ///< the other options of the problem, as resolved
  Specification measures;            ///< what is measured (Measures::specification)
  std::vector<Quantity> quantities;  ///< measured in every draw; the values do not count

  Index cells() const;
  Index draws() const { return cells() * repeats; }
  /// The same for a plan of any size, where an integer may overflow.
  double size() const;
  /// (axes..., repeats)
  std::vector<Index> shape() const;
  /// The place of a cell on an axis.
  Index place(Index cell, std::size_t axis) const;

  /// Options and arguments that make the cell, without the seed.
  std::vector<std::pair<std::string, std::string>> settings(Index cell) const;
  /// "D = 64, kernel = softmax"
  std::string cell_text(Index cell) const;
  /// FNV-1a of the base seed, the cell's settings in the order of their names, and the repeat: neither the
  /// other cells nor the order of the axes count, so that a draw stays when the sweep grows.
  std::uint64_t seed(Index draw) const;

  /// Everything above; from_specification is the way back.
  Specification specification() const;
  static SweepPlan from_specification(const Specification& specification);
};

}  // namespace basin::tools
