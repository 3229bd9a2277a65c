/// Points that are the same modulo symmetry are one entry (MATHEMATICS.md, "The same point").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/stationary/classify.h"

namespace basin {

/// What is said of a point beside others of the same loss.
enum class Verdict {
  global_minimum,      ///< f = 0, or the known minimum within errors
  best_minimum,        ///< a strict local minimum, and nothing lower is known
  suboptimal_minimum,  ///< a strict local minimum, and something lower is known
  saddle,
  degenerate,
  valley,
  not_stationary,
  not_finite,
  global_valley,  ///< to where the loss is at its infimum, which no point attains
};
inline constexpr int kVerdicts = 9;
std::string name_of(Verdict verdict);

/// What a catalogue needs to know of a point.
struct CatalogueItem {
  PointKind kind = PointKind::not_finite;
  Index negative = 0, zero = 0;  ///< eigenvalues beyond symmetry
  double loss = 0, loss_error = 0;
  PointSignature function;
  double function_error = 0;
  Index doubtful = 0;  ///< so many more may be negative: eigenvalues that are undecided, or were not counted
  bool to_infimum = false;  ///< of a valley: f falls along it to its infimum
};

struct CatalogueEntry {
  std::vector<Index> members;  ///< items, ascending
  Index shown = 0;             ///< what represents the entry: the first of the lowest loss, to its error
  double spread = 0;           ///< the largest distance of a member from the first
  double nearest = 0;          ///< the distance of the nearest other entry of the kind; infinite without one
};

struct Catalogue {
  std::vector<CatalogueEntry> entries;  ///< by loss, ascending
  std::vector<Index> entry_of;    ///< of each item; -1: no point to be listed (not stationary or not finite)
  std::vector<Verdict> verdicts;  ///< of each item
  double lowest = 0;              ///< the global minimum, if known, else the lowest loss there is
  bool known_refuted = false;     ///< a point lies below the minimum that was said to be known
  bool lowest_known = false;      ///< it is the global minimum
  double bound = 0;               ///< StartsFound::bound
};

/// Two points are the same when their functions agree so far, relative to their size, or to their errors if
/// these are larger, but no further than 1e-3, and their losses to the errors of these. Points of which one
/// is isolated modulo symmetry (strict minima, saddles without zero modes) compare outputs, and what heads
/// carry from token to token; others lie on a continuum, or run along a valley, and compare outputs alone.
/// Indices of saddles differ if they do whatever the doubtful eigenvalues are.
inline constexpr double kSameFunction = 1e-6;
bool same_point(const CatalogueItem& a, const CatalogueItem& b);

/// known_minimum: of f, if known (0 counts as known where f = 0 was reached). It is set aside when a point
/// lies below it by more than errors and 1e-9 of it.
Catalogue make_catalogue(const std::vector<CatalogueItem>& items, std::optional<double> known_minimum);

}  // namespace basin
