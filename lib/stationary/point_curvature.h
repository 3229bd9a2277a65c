/// The Hessian at a point that may be stationary, modulo symmetry: signs of its eigenvalues, and where the
/// stationary point that is meant lies (MATHEMATICS.md, "Verdicts").
#pragma once

#include <string>

#include "basin/spectrum/assembled_matrix.h"
#include "basin/stationary/polish.h"

namespace basin {

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
  Vector<double> flat_way;    ///< (I - H^+ H) way, beyond the symmetries: where curvature has faded
  double far_gradient = 0;    ///< |grad f| at the far end of the step
  double gradient_slope = 0;  ///< |H g| / (|H| |g|): 0 at minima of |g|^2 that are no stationary points

  bool known() const {
    return from != CountsFrom::none;
  }  ///< else only `size`, `norm` and `gradient_slope` are
  Index uncounted() const { return size - removed - negative - zero - positive; }
};

/// What backs the counts, in a phrase.
std::string completeness(CountsFrom from, bool exact);

/// At x, of f with these roundings there. way: a way that led here, of which the flat part is asked; empty:
/// none. faint: attention is so weak somewhere that curvature which changes f by less than its rounding
/// counts as zero. dense_limit: up to so many parameters the Hessian is assembled. f is left at x.
PointCurvature curvature_at(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                            const Rounding& rounding, bool faint, Index dense_limit,
                            const Vector<double>& way = {});

/// At f = 0, where H = J^T J is positive semidefinite of rank at most m: the rank by the singular values of J
/// if they can be had (m P <= 4e7), which tell zeros from others to twice as many digits as H does.
PointCurvature curvature_at_zero(const NetworkTheory& theory, ModelObjective& f, const Iterate& x);

}  // namespace basin
