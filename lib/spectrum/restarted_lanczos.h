/// Lanczos with implicit restarts, for both ends of a spectrum in one Krylov space.
#pragma once

#include <Spectra/SymEigsSolver.h>

#include <functional>
#include <vector>

#include "basin/linalg/dense.h"
#include "basin/linalg/linear_operator.h"

namespace basin {

/// How many pairs are wanted of either end.
struct Wanted {
  Index smallest, largest;
  Index total() const { return smallest + largest; }
};

/// Columns of a matrix with `size` columns in ascending order that belong to the wanted ends.
std::vector<Index> end_columns(const Wanted& wanted, Index size);

/// Approximate eigenpairs, ascending: those of the smallest values, then those of the largest.
struct EndPairs {
  Vectors<double> vectors;  ///< orthonormal
  Vector<double> values;
  Vector<double> residuals;  ///< |A x - value x| of each
};

/// The wanted Ritz pairs in the span of Z (one product with each of its vectors).
EndPairs ritz_pairs(const SelfAdjointOperator& A, const Vectors<double>& Z, const Wanted& wanted);

/// Twice the wanted number and some: Spectra's own advice, with room for clusters.
Index least_krylov_size(const Wanted& wanted);

/// As much as is allowed: each restart throws away what made the ends converge, and the space is cheap beside
/// the products.
Index krylov_size(Index size, const Wanted& wanted, Index allowed);

/// What Spectra multiplies by: B = A / s + 2 I with s about |A|. Its tests for breakdown have no scale, and
/// it multiplies the start vector by B, which would take the null space of A / s out of it.
class ScaledShift {
 public:
  using Scalar = double;
  ScaledShift(const SelfAdjointOperator& A, double scale, const std::function<void()>& count_product)
      : A_(A), scale_(scale), count_product_(count_product) {}
  Index rows() const { return A_.rows(); }
  Index cols() const { return A_.cols(); }
  void perform_op(const double* x, double* y) const;

  static constexpr double kShift = 2;

 private:
  const SelfAdjointOperator& A_;
  double scale_;
  const std::function<void()>& count_product_;
};

/// Spectra's Lanczos factorisation and its implicit restarts, but the space is looked at while it grows, and
/// a restart keeps half of it: Spectra's own loop fills the space first and keeps little more than the
/// wanted.
class Lanczos {
  using Operator = Spectra::ArnoldiOp<double, ScaledShift, Spectra::IdentityBOp>;

 public:
  Lanczos(const ScaledShift& op, const Wanted& wanted, Index vectors);

  /// Says whether to stop, given the wanted Ritz values of A / s (ascending) and their residuals.
  using Stop = std::function<bool(const Vector<double>& values, const Vector<double>& residuals)>;

  /// Until `stop` says so, or that many restarts.
  bool solve(const Vector<double>& start, const Stop& stop, Index max_restarts);

  Index restarts() const { return restarts_; }

  /// The Ritz vectors of the outermost Ritz values, converged or not.
  Vectors<double> ritz_vectors() const;

 private:
  SymmetricEigen projected(Index size) const;

  bool stops(Index size, const Stop& stop) const;

  /// Takes away the Ritz values in between by shifted QR steps (Sorensen, 1992).
  Index restart();

  Spectra::Lanczos<double, Operator> factorisation_;
  Index most_;
  Wanted wanted_, kept_;
  Index restarts_ = 0, products_ = 0;
};

}  // namespace basin
