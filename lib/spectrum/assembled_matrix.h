/// The matrix of an operator, and how far it is from what the operator would be without rounding.
#pragma once

#include <cstdint>

#include "basin/linalg/combinators.h"
#include "basin/linalg/linear_operator.h"

namespace basin {

/// Up to so many rows a matrix is assembled and counted by inertia where counts are asked for: what the
/// --dense-limit of every tool stands for by default. 8000 rows take 8000 products, 512 MB and two
/// factorisations of P^3 / 3 multiplications.
constexpr Index kDenseLimit = 8000;
/// Up to so many all eigenpairs are computed where some are wanted (9 P^3 operations): no more than what a
/// Krylov space and its probes take to be sure of so few eigenvalues.
constexpr Index kDecompositionLimit = 1000;

struct AssembledMatrix {
  Vectors<double> matrix;     ///< symmetric
  double asymmetry = 0;       ///< Frobenius norm of what symmetrising took away
  double rounding = 0;        ///< Frobenius norm of the rounding error, measured with random vectors
  Vector<double> row_errors;  ///< norm of each row of both, P: for sums over parts of the matrix
  double trace_error = 0;     ///< what rounding does to the trace, most of which cancels
  Index products = 0;

  Index size() const { return matrix.rows(); }
};

/// Assembled in blocks of products, symmetrised in place. The rounding is measured by comparing products with
/// random vectors with those of the perturbed operator (model/perturbation.h), or without one with those of a
/// scaled vector. `progress` counts columns. Throws WorkError when a product is not finite.
AssembledMatrix assembled_matrix(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed = nullptr,
                                 std::uint64_t seed = 0, const Progress& progress = {});

/// (I - Pi) A (I - Pi) + shift Pi in place, Pi the orthogonal projector on the space that `remove` takes
/// away. The rounding of this is added to that of the matrix; row_errors and trace_error stay those of A,
/// whose trace is taken before.
void deflate(AssembledMatrix& assembled, const Removal& remove, double shift);

/// A lower estimate of |A| of a symmetric matrix, by some steps of the power method.
double spectral_norm(const Vectors<double>& A);

/// For each column of V, an allowance for the rounding error of A v, given AV: four times the distance from
/// another evaluation of the same product, one sample of that error. It is that of the perturbed operator, or
/// else A (c v) / c with c no power of two, which rounds differently in every operation. What may have been
/// lost below the range of double precision (LinearOperator::underflow) is added: both evaluations lose it.
Vector<double> product_rounding(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed,
                                const Vectors<double>& V, const Vectors<double>& AV);

/// For each row of A an allowance for the norm of its rounding errors, from products with eight random
/// vectors that are taken twice as above; the norm of all of them is that of the matrix (Frobenius).
Vector<double> row_rounding(const SelfAdjointOperator& A, const SelfAdjointOperator* perturbed,
                            std::uint64_t seed = 0);

/// A lower estimate of |A|, right to a few per cent or better: some steps of the power method. It only sets
/// scales.
double norm_estimate(const SelfAdjointOperator& A, std::uint64_t seed);

/// Throws WorkError when a product is not finite.
void check_finite(const Vectors<double>& products);

/// Norms of columns without overflow or underflow of the squares: a loss may have any scale. Throws WorkError
/// when one is not finite.
Vector<double> column_norms(const Vectors<double>& V);

}  // namespace basin
