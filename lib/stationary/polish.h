/// From near a stationary point to the point itself, whatever its index (MATHEMATICS.md, "Polishing").
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "basin/linalg/combinators.h"
#include "basin/spectrum/assembled_matrix.h"
#include "basin/stationary/objective.h"
#include "basin/stationary/rounding.h"

namespace basin {

/// Told now and then what long work at a point is at, in a few words.
using Status = std::function<void(const std::string& stage)>;

/// The loss of a model in its trained blocks, and what may be spent on it.
struct ModelLoss {
  ModelPoint<double> point;  ///< blocks that are not trained stay as they are here
  /// What is known of the network; never null. (Without an initial value: it is not to be forgotten.)
  std::shared_ptr<const NetworkTheory> theory;
  std::size_t memory = std::size_t{1} << 28U;  ///< bytes that may be kept between Hessian products
  Status status = {};  ///< told of what takes long at a point, maybe by several threads

  ModelObjective objective() const { return ModelObjective(point, memory, theory->natural_length(point)); }
};

/// Up to so many parameters a Newton step is taken from all eigenpairs of the Hessian (9 P^3 operations, for
/// every damping and gradient); iterations take up to 4 P products for each of these.
inline constexpr Index kNewtonLimit = 2000;

struct PolishOptions {
  Index steps = 80;
  Index dense_limit = kNewtonLimit;  ///< up to so many parameters the Hessian is decomposed
  double reach = std::numeric_limits<double>::infinity();  ///< the longest step
  /// It is given up where it leads further from the start than this.
  double within = std::numeric_limits<double>::infinity();
};

struct Polished {
  Iterate at;
  Rounding rounding;  ///< there
  Index steps = 0;
  double length = 0;  ///< of all steps together
  bool left = false;  ///< given up: it went further than PolishOptions::within
  double first_gradient = 0;
};

/// Damped Newton steps for grad f = 0 (Levenberg 1944; Marquardt 1963, for the system grad f = 0):
///
///     min_p |H p + g|^2 + mu^2 |p|^2     on the complement of the symmetry directions, or on the whole space
///
/// whichever lowers |grad f| more (towards a block that collapses the way is along its gauge), mu as small as
/// it takes for it to fall, until |grad f| is within rounding or falls no more. A full Newton step that
/// raises |grad f| is taken, too, where Newton's method contracts: where the next step, by the same H, is
/// shorter (the natural monotonicity test: Deuflhard, Newton Methods for Nonlinear Problems, 2011,
/// section 3.3). Converges to minima and saddles alike, quadratically also where the stationary points are no
/// more than a manifold. The result is the point of the smallest |grad f| on the way; f is left there.
Polished polish(const ModelLoss& loss, ModelObjective& f, Iterate start, const PolishOptions& options = {});

/// g -> -H^+ g, the Newton step on the complement of the space that is removed, with H at the point that f
/// was asked for last, now and whenever a step is; g: the gradient there, or another one. cut: H is
/// decomposed, and eigenvalues below so much of |H| are dropped; without it products do. status: told of the
/// work.
std::function<Vector<double>(const Vector<double>& g)> newton_steps(ModelObjective& f, const Removal& remove,
                                                                    std::optional<double> cut = {},
                                                                    const Status& status = {});

/// The same for the residual, min_p |J p + r|^2 + mu^2 |p|^2, accepted where f falls by half: towards f = 0
/// this reaches the rounding of r itself, which the gradient J^T r blurs. Returns where it gets to; f is left
/// there. For m P <= 4e7, and quadratic losses.
Iterate polish_to_zero(ModelObjective& f, Iterate start, Index steps = 40);

}  // namespace basin
