#include "basin/linalg/definite.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/block_krylov.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/lapack.h"

namespace basin {
namespace {

// Beyond this power of two squares of the matrix would under- or overflow: it is scaled first.
constexpr int kLargestExponent = 250;

/// The lower Cholesky factor of sign A + shift I in place of A; false if there is none, or A has NaN in it.
bool factorise(Vectors<double>& A, double sign, double shift) {
  if (sign < 0) A = -A;
  A.diagonal().array() += shift;
  return lapack::potrf(A) == 0;
}

/// Both ends of a matrix whose squares neither under- nor overflow.
class Enclosure {
 public:
  Enclosure(const Vectors<double>& A, std::uint64_t seed);

  EnclosedEigenvalue largest();
  /// Fills all of the result but `largest`.
  void smallest(DefiniteEigenvalues& result);

 private:
  /// The largest Ritz value, and an upper bound from what the Krylov space has not seen.
  EnclosedEigenvalue largest_seen() const;
  /// The Cholesky factor of A, shifted where rounding decides on its smallest pivot; false if there is none.
  bool factor_to_solve_with(Vectors<double>& factor) const;
  /// The Rayleigh quotient of the smallest Ritz vector of the inverse.
  double smallest_quotient(const Vectors<double>& factor, Index& solves) const;
  /// A lower bound from the largest shift at which A - s I has a Cholesky factor.
  double proven_below(double value);

  const Vectors<double>& A_;
  std::uint64_t seed_;
  Index n_;
  double trace_, squares_;         // the latter |A|_F^2
  double factorisation_;           // backward error of a Cholesky factorisation that ran through
  double quotient_;                // rounding of a Rayleigh quotient
  double rounding_, trace_bound_;  // of sums of n squares, relative; of the trace, from above
  Vectors<double> work_;           // what is factorised
};

Enclosure::Enclosure(const Vectors<double>& A, std::uint64_t seed) : A_(A), seed_(seed), n_(A.rows()) {
  trace_ = A.diagonal().sum();
  squares_ = -A.diagonal().squaredNorm();
  for (Index j = 0; j < n_; ++j) squares_ += 2 * A.col(j).tail(n_ - j).squaredNorm();
  const double norm = std::sqrt(squares_);
  factorisation_ = static_cast<double>(n_ + 2) * kEps * trace_;
  quotient_ = static_cast<double>(n_ + 2) * kEps * norm;
  rounding_ = 4 * static_cast<double>(n_ + 2) * kEps;
  trace_bound_ = trace_ * (1 + rounding_);
}

EnclosedEigenvalue Enclosure::largest_seen() const {
  const auto lower = A_.selfadjointView<Eigen::Lower>();
  const RitzPairs top =
      largest_ritz_pairs(n_, seed_, [&](const Vectors<double>& V) { return Vectors<double>(lower * V); });
  const double t = top.values[0];
  // |C|_F^2 = |A|_F^2 - 2 |R|_F^2 - sum theta_i^2 in the coordinates of the Ritz vectors and their
  // complement.
  double found = 0;
  const double bound = bound_largest(top, [&](Index r, double coupling) {
    found += top.values[r - 1] * top.values[r - 1];
    return std::sqrt(std::max(0.0, squares_ * (1 + rounding_) - found - 2 * coupling));
  });
  return {t, t - quotient_, std::min(trace_bound_, bound * (1 + rounding_))};
}

EnclosedEigenvalue Enclosure::largest() {
  EnclosedEigenvalue found = largest_seen();
  const double t = found.value;
  for (const double allowance : {1e-8, 1e-4}) {
    if (found.upper <= t * (1 + 1e-4)) break;
    work_ = A_;
    const double shift = t * (1 + allowance);
    if (!factorise(work_, -1, shift)) continue;
    found.upper = std::min(
        trace_bound_, shift + factorisation_ +
                          static_cast<double>(n_ + 2) * kEps * (shift * static_cast<double>(n_) - trace_));
  }
  return found;
}

bool Enclosure::factor_to_solve_with(Vectors<double>& factor) const {
  // The smallest pivot is no smaller than the smallest eigenvalue: where rounding decides on it, a vector for
  // the upper bound comes from a matrix that is shifted as far, as solving with the factor itself may
  // overflow.
  factor = A_;
  if (factorise(factor, 1, 0) && factor.diagonal().array().square().minCoeff() > factorisation_) return true;
  factor = A_;
  return factorise(factor, 1, 2 * factorisation_);
}

double Enclosure::smallest_quotient(const Vectors<double>& factor, Index& solves) const {
  const RitzPairs bottom = largest_ritz_pairs(n_, seed_, [&](const Vectors<double>& V) {
    Vectors<double> out = V;
    lapack::potrs(factor, out);
    solves += V.cols();
    return out;
  });
  const auto lower = A_.selfadjointView<Eigen::Lower>();
  const Vector<double> x = bottom.vector.normalized(), Ax = lower * x;
  return x.dot(Ax);
}

double Enclosure::proven_below(double value) {
  for (const double allowance : {1e-6, 1e-3, 0.5}) {
    const double s = value * (1 - allowance) - 2 * factorisation_;
    if (!(s > factorisation_)) break;
    work_ = A_;
    if (factorise(work_, 1, -s)) return s - factorisation_;
  }
  return -factorisation_;
}

void Enclosure::smallest(DefiniteEigenvalues& result) {
  result.smallest.upper = A_.diagonal().minCoeff() + quotient_;
  result.smallest.value = std::max(0.0, A_.diagonal().minCoeff());
  Vectors<double> factor;
  if (!factor_to_solve_with(factor)) return;
  const double value = smallest_quotient(factor, result.solves);
  result.smallest = {value, proven_below(value), value + quotient_};
  result.definite = result.smallest.lower > 0;
}

}  // namespace

DefiniteEigenvalues definite_eigenvalues(const Vectors<double>& A, std::uint64_t seed) {
  const Index n = A.rows();
  if (n == 0 || A.cols() != n) throw InputError("definite_eigenvalues: the matrix is not square, or empty");
  const double size = A.diagonal().maxCoeff();
  if (size > 0 && std::isfinite(size) && std::abs(std::ilogb(size)) > kLargestExponent) {
    const int exponent = std::max(std::ilogb(size), -1000);  // 2^-exponent must be finite
    DefiniteEigenvalues scaled = definite_eigenvalues(A * std::ldexp(1.0, -exponent), seed);
    for (EnclosedEigenvalue* e : {&scaled.smallest, &scaled.largest})
      for (double* x : {&e->value, &e->lower, &e->upper}) *x = std::ldexp(*x, exponent);
    return scaled;
  }
  DefiniteEigenvalues result;
  Enclosure enclosure(A, seed);
  result.largest = enclosure.largest();
  enclosure.smallest(result);
  return result;
}

}  // namespace basin
