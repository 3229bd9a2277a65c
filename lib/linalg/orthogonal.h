/// Vectors orthogonal to a basis, and the one meaning of "linearly dependent" of all that builds a basis.
///
/// Block Gram-Schmidt, twice (Giraud, Langou, Rozloznik and van den Eshof, Numer. Math. 101, 2005: twice is
/// enough for columns that are not dependent to working precision), in the sums of linalg/sums.h: the same
/// bits wherever the vectors stand and whatever the number of threads.
#pragma once

#include "basin/linalg/sums.h"

namespace basin {

/// A vector is dependent if what Gram-Schmidt leaves of it is at most this part of the length of what it was
/// computed from. Rounding leaves some eps sqrt(basis) of a vector in the span, 4e-15 with 300 vectors; above
/// that is room for the error of the vector itself, and at 1e-13 a third pass still makes what is left
/// orthogonal to eps.
inline constexpr double kDependent = 1e-13;

/// V -= Q Q^T V, twice, so that nothing but rounding is left of the span of Q: P x a, orthonormal columns.
/// V: P x b.
void project_out(ConstVectorsRef<double> Q, VectorsRef<double> V);

struct Orthonormalised {
  Index count = 0;               ///< independent columns: what is left of them stands in front
  Vectors<double> coefficients;  ///< Q^T W with W as it was: a x b
  /// Of each column of W, the length of its component orthogonal to Q and the independent columns before it;
  /// 0 if it is dependent.
  Vector<double> rest;
};

/// Makes the columns of W (P x b) orthonormal, to those of Q (P x a, orthonormal) and to each other, from
/// left to right. Dependent ones are dropped, the others move to the front; what stands behind them is
/// undefined. P columns span the space: any further one is dependent.
///
/// `scale` is the length of what W was computed from, for columns that are differences of longer vectors or
/// products that share a rounding error; a column counts as no shorter than it is. Lengths may be anything
/// that double holds. A column with a number that is not finite is dropped: who must know checks first.
Orthonormalised orthonormalise(ConstVectorsRef<double> Q, VectorsRef<double> W, double scale = 0);

}  // namespace basin
