/// Which symmetry directions are null vectors of the Hessian (MATHEMATICS.md, "Verdicts").
#pragma once

#include "basin/curvature/symmetries.h"
#include "basin/linalg/linear_operator.h"

namespace basin {

/// The symmetry directions t with H t = 0. At a stationary point that is all of them, by theory; but where a
/// block has collapsed to the size of rounding, the gradient is that of a stationary point also when the
/// block's own rank, which the symmetries go by, means nothing. Directions t with |H t| > tolerance are no
/// symmetries then.
class NullDirections {
 public:
  /// H: the Hessian, P x P. Products alone: some blocks of random vectors find the range of H on the span.
  NullDirections(const Symmetries& symmetries, const SelfAdjointOperator& H, double tolerance);

  Index modes() const { return symmetries_.modes() - curved_.cols(); }
  /// V = V without its component in them.  V: P x k.
  void remove(VectorsRef<double> V) const;

 private:
  const Symmetries& symmetries_;
  Vectors<double> curved_;  ///< orthonormal, P x k: what is no null direction
};

}  // namespace basin
