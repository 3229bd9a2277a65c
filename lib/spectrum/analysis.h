/// All that is asked of the spectrum of one operator, in one go.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "basin/spectrum/block_norms.h"
#include "basin/spectrum/counts.h"
#include "basin/spectrum/plan.h"

namespace basin {

/// One end of a spectrum, as far as it is known.
struct SpectrumEnd {
  double value = 0, error = 0;
  /// Whether an eigenvalue lies within `error` of the value, and none was found further out. Else the value
  /// is a Rayleigh quotient: an eigenvalue lies at it or further out, but for rounding by `error`.
  bool found = false;
  bool converged = true;
};

/// What was found. Some may be of the restriction to the complement of the space that is set aside; each says
/// so (`removed`).
struct SpectrumAnalysis {
  /// "largest", "smallest" or "spectrum", with its pairs.
  std::vector<std::pair<std::string, EigenResult>> eigenvalues;
  std::vector<EigenvalueCounts> counts;  ///< of the matrix, of its restriction, or both
  std::optional<LanczosQuadrature> quadrature;
  std::optional<DensityCurve> density;  ///< on a linear axis
  std::optional<TraceEstimates> traces;
  std::optional<BlockNorms> norms;
  /// Both ends of the matrix that a verdict is about, which `removed` directions are set aside of; NaN where
  /// nothing is left of it.
  Index removed = 0;
  SpectrumEnd smallest, largest;
  bool elsewhere = false;  ///< these ends are of the equivalent point that was counted

  /// The eigenvalues of that name, or null.
  const EigenResult* find(const std::string& which) const;
  /// The counts of the matrix with so many directions set aside, or null.
  const EigenvalueCounts* find_counts(Index directions) const;
  bool all_converged() const;
  /// Whether negative eigenvalues are excluded: by exact counts, or because all are known; not where rounding
  /// is so large that no sign is decided (EigenvalueCounts::decided).
  bool has_no_negative() const;
  /// About |A|: the larger magnitude of both ends.
  double norm() const { return std::max(std::abs(smallest.value), std::abs(largest.value)); }
};

/// What is analysed.
struct SpectrumSubject {
  const SelfAdjointOperator& A;
  const SelfAdjointOperator* perturbed = nullptr;  ///< A with other roundings (EigenOptions::perturbed)
  Removal
      remove{};     ///< takes the space that is set aside out of vectors; not called where its dimension is 0
  Index modes = 0;  ///< the dimension of that space
  std::vector<BlockRange> blocks{};  ///< those whose norms are asked for; none: of the matrix alone
  /// What is counted for the restriction, if not that of A: the matrix of an equivalent point. What it has
  /// less rows than A are directions of the space, too.
  const SpectrumSubject* counted = nullptr;
};

/// For people; none by default.
struct SpectrumReports {
  /// Told what is done next, one line.
  std::function<void(const std::string&)> note{};
  /// Asked for a report on each piece of work, by its name, when that begins.
  std::function<Progress(const std::string& work)> progress{};
};

/// plan: that of plan_spectrum for the request and A. What is assembled serves all that was asked for; both
/// ends are always found, if need be by some Lanczos steps. Throws InputError and WorkError as the functions
/// of this folder that it calls.
SpectrumAnalysis analyse_spectrum(const SpectrumSubject& of, const SpectrumRequest& request,
                                  const SpectrumPlan& plan, const SpectrumReports& reports = {});

}  // namespace basin
