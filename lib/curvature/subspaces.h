/// Small spaces of directions, each given by orthonormal columns.
#pragma once

#include <vector>

#include "basin/linalg/types.h"
#include "basin/network/layer.h"

namespace basin {

using Dense = Vectors<double>;

inline Dense identity(Index n) {
  return Dense::Identity(n, n);
}
inline Dense zero(Index rows, Index cols) {
  return Dense::Zero(rows, cols);
}
/// `above` on top of `below`, which counts as having no column where `above` has none.
Dense stacked(const Dense& above, const Dense& below);
/// The span of the columns; of a matrix without columns itself.
Dense span_or_none(const Dense& A);
/// What is left of the columns outside the span of U.
Dense outside(const Dense& A, const Dense& U);
/// {v : v^T W in the span of U}.
Dense preimage(const Dense& W, const Dense& U);
/// What is in both spans.
Dense intersection(const Dense& a, const Dense& b);
/// These unit vectors of length n.
Dense coordinates(Index n, const std::vector<Index>& which);
/// Which unit vectors are in the span.
std::vector<Index> coordinates_in(const Dense& U);

/// {(u; w) : x u + w = 0 for every row x that is needed}, orthonormal columns of width + 1; with `ones` false
/// {u : x u = 0}. Features count by their own size.
Dense annihilators(const Matrix<double>& x, const Mask& needed, bool ones = true);

/// {x : A x = 0}, by a pivoted QR decomposition of A^T, which takes a tenth of the time of singular values:
/// diagonal entries up to 1e-10 of `scale` are zeros; 0: of the first one.
Dense null_basis(const Dense& A, double scale = 0);

/// The span of the columns, in the same way: entries up to `least` are zeros.
Dense range_basis(const Dense& A, double least);

}  // namespace basin
