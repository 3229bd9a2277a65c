/// Scalar products, lengths and Gram matrices of long vectors.
///
/// The bits of a result depend on the numbers alone: not on where they stand in memory, on the other columns
/// of a block, on the size of the processor's caches or on the number of threads. A sum over the P rows is
/// taken in leaves of about 960 rows, in each by four packs of partial sums (linalg/simd.h), and the sums of
/// the leaves are added by the binary tree over their index. (Eigen takes a reduction in an order that
/// depends on the alignment, and blocks its products by the caches.)
///
/// Rounding: |error| <= c eps sum |x_i y_i| with c = 360 / lanes + log2(P), 2^-1074 where terms underflow.
/// Numbers that are not finite spread as in any sum.
#pragma once

#include "basin/linalg/types.h"

namespace basin {

template <class S>
using ConstVectorRef = const Eigen::Ref<const Vector<S>>&;

/// x^T y, for vectors of one size.
double dot(ConstVectorRef<double> x, ConstVectorRef<double> y);

/// |x|, also where the squares overflow or underflow: infinite only where the length itself is above the
/// largest number.
double norm(ConstVectorRef<double> x);

/// |x| of each column.
Vector<double> norms(ConstVectorsRef<double> X);

/// X^T Y (a x b) for X: P x a, Y: P x b. Each entry has the bits of `dot` of its columns; X^T X is symmetric.
Vectors<double> gram(ConstVectorsRef<double> X, ConstVectorsRef<double> Y);

/// V -= X C for X: P x a, C: a x b, V: P x b, which must not overlap X. The terms of an entry in order of the
/// columns of X.
void subtract(ConstVectorsRef<double> X, ConstVectorsRef<double> C, VectorsRef<double> V);

}  // namespace basin
