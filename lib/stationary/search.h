/// From a start to a stationary point and its verdict (MATHEMATICS.md, "Search").
#pragma once

#include <functional>

#include "basin/stationary/classify.h"
#include "basin/stationary/descent.h"

namespace basin {

enum class Target {
  minima,  ///< descend; a saddle that is met is left downwards
  any,     ///< lower |grad f|: stationary points of any index
};

struct SearchOptions {
  /// The method for a start, at which the objective has been asked, with a share of its step (1: all of it);
  /// none for less if it chooses its steps itself.
  std::function<std::unique_ptr<const DescentMethod>(Objective&, const Iterate&, double share)> method = {};
  Stopping stopping = {};    ///< of the method, or of L-BFGS on |grad f|^2 / 2 (any)
  Index finish_steps = 300;  ///< of trust-region Newton after it (minima)
  Index escapes = 10;        ///< saddles that may be left
  Index dense_limit = kDenseLimit;
};

/// What happened on the way.
struct Found {
  StationaryPoint point;
  double start_loss = 0, descent_loss = 0,
         descent_gradient = 0;  ///< at the start, and where the method ended
  StepsTaken taken;             ///< by the method
  Index descent_steps = 0, finish_steps = 0, polish_steps = 0, escapes = 0;
  double distance = 0;       ///< |theta - start|
  double polish_length = 0;  ///< of it, the last Newton steps
  bool not_finite = false;   ///< the method stepped to where the loss overflows
  bool rose = false;         ///< the method ended above its start
  double safe_step = 0;  ///< where its step was too large, a shorter one with which the loss falls; else 0
};

Found search(const ModelLoss& loss, const Vector<double>& start, Target target, const SearchOptions& options);

/// The point itself, polished. It is `not_stationary` unless Newton's method stays within a thousandth of
/// the length of theta: then the point given is judged as it is. Throws WorkError where the loss overflows.
Found examine(const ModelLoss& loss, const Vector<double>& theta, Index dense_limit = kDenseLimit);

/// A step from a stationary point after which the loss is lower by more than rounding.
struct Escape {
  Iterate at;
  double step = 0;       ///< along the direction, signed
  double predicted = 0;  ///< step^2 lambda / 2
  double fall = 0;       ///< f there - f here, negative
};

/// How far an escape goes.
enum class Reach {
  visible,  ///< until the loss falls beyond its rounding
  far,      ///< and on, while it falls by a growing amount
};

/// Along +-direction, doubling the step; nothing where the loss does not fall. curvature: v^T H v < 0.
std::optional<Escape> escape(Objective& f, const Iterate& x, const Vector<double>& direction,
                             double curvature, double loss_rounding, Reach reach = Reach::far);

}  // namespace basin
