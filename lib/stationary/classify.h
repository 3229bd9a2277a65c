/// What a point is: minimum, saddle, degenerate, a valley to infinity, or no stationary point at all
/// (MATHEMATICS.md, "Verdicts").
#pragma once

#include <optional>
#include <string>

#include "basin/stationary/point_curvature.h"
#include "basin/stationary/point_signature.h"
#include "basin/stationary/polish.h"
#include "basin/stationary/separation.h"
#include "basin/stationary/valley.h"

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
  bool gradient_known = true;                ///< to half of its digits: its allowance is small beside that
  Saturation saturation, saturation_before;  ///< of the single attention layer
  std::vector<LayerSaturation> attention, attention_before;  ///< of any other network
  bool faint = false;                ///< a limit at infinity, or attention of which little is left somewhere
  double norm = 0, norm_before = 0;  ///< |theta|
  Separation separation;             ///< of classes
};

/// The verdict where margins, the gradient, its rounding and a few products settle it, without the curvature:
/// classes are separated, or the point is not stationary, and no point next to it is (MATHEMATICS.md, "What
/// is computed first"). f is left at x.
std::optional<StationaryPoint> settled_by_gradient(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                                                   const std::optional<Extent>& before = std::nullopt);

/// Judges the point as it is; nothing is moved. f is left at x. before: where descent was earlier, to be
/// compared with. dense_limit: up to so many parameters the
/// Hessian is assembled, and its inertia counted.
StationaryPoint classify(const ModelLoss& loss, ModelObjective& f, const Iterate& x,
                         const std::optional<Extent>& before = std::nullopt, Index dense_limit = kDenseLimit);

}  // namespace basin
