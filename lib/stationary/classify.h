/// What a point is: minimum, saddle, degenerate, a valley to infinity, or no stationary point at all
/// (MATHEMATICS.md, "Verdicts").
#pragma once

#include <optional>
#include <string>

#include "basin/spectrum/assembled_matrix.h"
#include "basin/stationary/point_signature.h"
#include "basin/stationary/polish.h"

namespace basin {

/// Of the length of theta: a point that is given is another name for a stationary one as near as this.
inline constexpr double kSamePoint = 1e-3;

/// What can be said of a point from itself alone.
enum class PointKind {
  zero_loss,       ///< f = 0 to rounding: a global minimum, as f >= 0
  strict_minimum,  ///< of second order, modulo symmetry
  saddle,          ///< a direction of negative curvature
  degenerate,  ///< zero modes beyond symmetry, no negative one: not decided by second order; or f = 0 to a
               ///< rounding that hides the targets
  valley,      ///< no point: the descent runs to infinity
  not_stationary,  ///< or not known to be: rounding hides the gradient
  not_finite,
};
std::string name_of(PointKind kind);

enum class Valley { none, saturated, vanished, exploding };

/// Where counts come from.
enum class CountsFrom {
  spectrum,  ///< all eigenvalues
  inertia,   ///< factorisations of the assembled matrix, and the smallest eigenvalues
  smallest,  ///< the smallest eigenvalues alone
  jacobian,  ///< f = 0, where H = J^T J: the singular values of J
  outputs,   ///< the same, of a J too large for that: no more than m eigenvalues are positive
  balanced,  ///< all eigenvalues of D H D, D diagonal: as many of each sign, also where weights differ in
             ///< scale
  none,      ///< nothing was counted, as the gradient alone decides
};

/// The Hessian on the complement of the symmetry directions.
struct PointCurvature {
  Index size = 0;                              ///< P
  double norm = 0;                             ///< |H|, about
  Index removed = 0;                           ///< modes of symmetry
  Index negative = 0, zero = 0, positive = 0;  ///< that were counted
  CountsFrom from = CountsFrom::spectrum;
  bool exact = true;     ///< false: there may be more, and `uncounted` are left
  double tolerance = 0;  ///< up to this an eigenvalue is zero
  Index undecided = 0;   ///< of `zero`: beyond the tolerance, but not at all points that may be the one meant
  double smallest = 0, smallest_bound = 0;  ///< NaN where symmetry leaves nothing, or none was computed
  Vector<double> direction;                 ///< its unit eigenvector, P
  /// How far the allowance of the gradient may move the point in the softest direction (empty where there is
  /// none), and what f changes by then.
  Vector<double> soft_move;
  double soft_loss = 0;
  Vector<double> newton;   ///< -H^+ g: where the stationary point that is meant lies from here
  double decrement = 0;    ///< sqrt(g^T |H|^+ g): half its square is what f may still change by
  double newton_step = 0;  ///< |H^+ g|
  double contraction =
      0;  ///< the next Newton step, by the same H, over this one: below 1/4 Newton's method converges
  double far_gradient = 0;    ///< |grad f| at the far end of the step
  double gradient_slope = 0;  ///< |H g| / (|H| |g|): 0 at minima of |g|^2 that are no stationary points

  bool known() const {
    return from != CountsFrom::none;
  }  ///< else only `size`, `norm` and `gradient_slope` are
  Index uncounted() const { return size - removed - negative - zero - positive; }
};

/// What backs the counts, in a phrase.
std::string completeness(CountsFrom from, bool exact);

struct StationaryPoint {
  PointKind kind = PointKind::not_finite;
  Valley valley = Valley::none;
  Iterate at;
  Vector<double> weights;  ///< all blocks
  Rounding rounding;
  double residual = 0;     ///< |r|, r = dl/dF
  bool attainable = true;  ///< whether outputs attain the infimum of the loss, which r = 0 shows then
  bool zero_known = true;  ///< the outputs are known so well that f = 0 to rounding means something
  double loss_error = 0;   ///< the stationary value that is meant lies this near
  PointCurvature curvature;
  PointSignature function;
  double function_error = 0;  ///< that of the point that is meant lies this near
  double step_distance = 0;   ///< of the function at the far end of the Newton step
  double gradient_scale =
      0;  ///< |grad f| at random points a length of one away: what it is where nothing is special
  bool gradient_known = true;  ///< to half of its digits: its allowance is small beside that
  Saturation saturation, saturation_before;
  double norm = 0, norm_before = 0;  ///< |theta|
};

/// How descent got there: what had been growing on the way.
struct Before {
  Saturation saturation;
  double norm = 0;  ///< |theta|
};

/// The verdict where the gradient, its rounding and a few products settle it, without the curvature: the
/// point is not stationary, and no point next to it is (MATHEMATICS.md, "What is computed first"). f is left
/// at x.
std::optional<StationaryPoint> settled_by_gradient(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                                                   const std::optional<Before>& before = std::nullopt);

/// Judges the point as it is; nothing is moved. f is left at x. dense_limit: up to so many parameters the
/// Hessian is assembled, and its inertia counted.
StationaryPoint classify(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                         const std::optional<Before>& before = std::nullopt, Index dense_limit = kDenseLimit);

/// Saturation and norm here, for comparing with later.
Before state_of(const ModelLoss& loss, const Vector<double>& theta);

}  // namespace basin
