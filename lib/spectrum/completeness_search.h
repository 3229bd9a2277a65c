/// The search for eigenvalues that a Krylov space has missed (MATHEMATICS.md).
#pragma once

#include <functional>
#include <limits>

#include "basin/linalg/combinators.h"
#include "basin/linalg/krylov.h"
#include "basin/spectrum/eigenpairs.h"
#include "basin/spectrum/restarted_lanczos.h"

namespace basin {

/// Looks for eigenvalues that were missed: in the complement of what was found, from fresh random blocks.
class CompletenessSearch {
 public:
  CompletenessSearch(const SelfAdjointOperator& A, const EigenOptions& options, double norm,
                     const std::function<void()>& count_products);

  /// What the last block showed: with probability 1 - 1e-6 each, there is no eigenvalue beyond. NaN: nothing.
  double none_below = std::numeric_limits<double>::quiet_NaN(),
         none_above = std::numeric_limits<double>::quiet_NaN();
  Index probes = 0;
  /// False: the last block saw values that could still have moved beyond.
  bool resolved = true;

  /// Improves the pairs until a block finds nothing beyond the last of either end, or gives up. What lies no
  /// further beyond than resolution() is not looked for.
  void run(EndPairs& found, const Wanted& wanted);

  /// The same pairs, improved by three steps with all of them where a residual is above the tolerance: after
  /// a near breakdown (few distinct eigenvalues) Spectra's estimates of residuals are too small.
  EndPairs polished(EndPairs found, const Wanted& wanted) const;

  /// Residuals of what was found and of what is looked for may each be as large as the tolerance.
  double resolution() const { return 2 * resolution_; }

 private:
  struct Limits {
    double low, high;
  };

  /// The outermost Ritz pairs of a Krylov space, without residuals.
  static EndPairs outermost(const KrylovSpace& space, const Wanted& wanted);

  /// The same from a start block, and what it excludes but for this chance.
  EndPairs look(const SelfAdjointOperator& C, const Vectors<double>& start, const Wanted& ends,
                double chance);

  /// Whether a Ritz value this far inside the limit, with this residual, stands for an eigenvalue there.
  bool stands(double inside, double residual) const;

  /// Ends at which more may lie beyond than is seen: neither is that excluded, nor does the outermost value
  /// stand.
  Wanted open_ends(const SelfAdjointOperator& C, const EndPairs& seen, const Wanted& ends,
                   const Limits& limits) const;

  /// The outermost pairs of these ends by Lanczos with restarts, until they stand or are eigenpairs; false:
  /// they do not come to that.
  bool follow(const SelfAdjointOperator& C, const Vector<double>& start, const Wanted& open,
              const Limits& limits, EndPairs& seen) const;

  /// How many of these values (ascending) lie beyond the limits.
  static Wanted beyond(const Vector<double>& values, const Limits& limits);

  static EndPairs take(const SelfAdjointOperator& C, const EndPairs& seen, const Wanted& ends);

  /// How far out the pairs lie, all together.
  static double spread(const EndPairs& pairs, const Wanted& wanted);

  // Residuals of several rounds add up: a tenth of the tolerance for each.
  bool converged(const EndPairs& pairs) const;

  const SelfAdjointOperator& A_;
  const EigenOptions& options_;
  double norm_;
  const std::function<void()>& count_products_;
  double rounding_ = 0, resolution_ = 0;
};

}  // namespace basin
