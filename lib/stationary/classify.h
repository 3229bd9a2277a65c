/// What a point is: minimum, saddle, degenerate, a valley to infinity, or no stationary point at all
/// (MATHEMATICS.md, "Verdicts").
#pragma once

#include <optional>
#include <string>

#include "stationary/attention_function.h"
#include "stationary/polish.h"

namespace basin {

/// What can be said of a point from itself alone.
enum class PointKind {
  zero_loss,       ///< f = 0 to rounding: a global minimum, as f >= 0
  strict_minimum,  ///< of second order, modulo symmetry
  saddle,          ///< a direction of negative curvature
  degenerate,  ///< zero modes beyond symmetry, no negative one: not decided by second order; or f = 0 to a
               ///< rounding that hides the targets
  valley,      ///< no point: the descent runs to infinity
  not_stationary,
  not_finite,
};
std::string name_of(PointKind kind);

enum class Valley { none, saturated, vanished, exploding };

/// The Hessian on the complement of the symmetry directions.
struct PointCurvature {
  Index size = 0;     ///< P
  double norm = 0;    ///< |H|, about
  Index removed = 0;  ///< modes of symmetry
  Index negative = 0, zero = 0, positive = 0;
  bool exact = true;     ///< false: the first two are the least there are
  bool dense = true;     ///< all eigenvalues were computed, else the smallest ones
  double tolerance = 0;  ///< up to this an eigenvalue is zero
  Index undecided = 0;   ///< of `zero`: beyond the tolerance, but not at all points that may be the one meant
  double smallest = 0, smallest_bound = 0;  ///< NaN where symmetry leaves nothing
  Vector<double> direction;                 ///< its unit eigenvector, P
  double softest = 0;             ///< the smallest |eigenvalue| that is not zero; 0 where none is known
  Vector<double> soft_direction;  ///< its unit eigenvector, P
  double decrement = 0;           ///< sqrt(g^T |H|^+ g): half its square is what f may still change by
  double newton_step = 0;         ///< |H^+ g|: how far the stationary point is
  double gradient_slope = 0;      ///< |H g| / (|H| |g|): 0 at minima of |g|^2 that are no stationary points
};

/// What backs the counts, in a phrase.
std::string completeness(const PointCurvature& c);

struct StationaryPoint {
  PointKind kind = PointKind::not_finite;
  Valley valley = Valley::none;
  Point at;
  Vector<double> weights;  ///< all blocks
  Rounding rounding;
  double residual = 0;     ///< |r|
  bool zero_known = true;  ///< the outputs are known so well that f = 0 to rounding means something
  double loss_error = 0;   ///< the stationary value that is meant lies this near
  PointCurvature curvature;
  AttentionFunction function;
  double function_error = 0;  ///< that of the point that is meant lies this near
  Saturation saturation, saturation_before;
  double norm = 0, norm_before = 0;  ///< |theta|
};

/// How descent got there: what had been growing on the way.
struct Before {
  Saturation saturation;
  double norm = 0;  ///< |theta|
};

/// Judges the point as it is; nothing is moved. f is left at x.
StationaryPoint classify(const AttentionLoss& loss, ModelObjective& f, const Point& x,
                         const std::optional<Before>& before = std::nullopt, Index dense_limit = 1200);

/// Saturation and norm here, for comparing with later.
Before state_of(const AttentionLoss& loss, ModelObjective& f, const Vector<double>& theta);

}  // namespace basin
