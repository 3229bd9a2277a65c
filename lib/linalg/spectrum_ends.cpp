#include "basin/linalg/spectrum_ends.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

// The space before a restart, and the vectors of each end that stay.
constexpr Index kLargestSpace = 60, kKept = 6;
// Rounds before convergence is believed: the random vector needs some to find what the start does not hold.
constexpr Index kRounds = 8;

/// Orthonormal columns V and their products AV.
struct Space {
  const SelfAdjointOperator& A;
  Vectors<double> V, AV;

  Index size() const { return V.cols(); }

  /// Adds what is new in the vectors of W. They are compared with themselves and not with what they were
  /// computed from: where nothing but rounding is left of a residual, it is one more random vector.
  void extend(Vectors<double> W) {
    const Index count = orthonormalise(V, W).count;
    if (count == 0) return;
    Vectors<double> products(A.rows(), count);
    A.apply(W.leftCols(count), products);
    if (!products.allFinite())
      throw WorkError("a product of the operator is not finite: eigenvalues are not defined");
    V.conservativeResize(A.cols(), size() + count);
    AV.conservativeResize(A.rows(), size());
    V.rightCols(count) = W.leftCols(count);
    AV.rightCols(count) = products;
  }
};

}  // namespace

SpectrumEnds spectrum_ends(const SelfAdjointOperator& A, const Vectors<double>& start,
                           const SpectrumEndsOptions& options) {
  const Index before = A.products();
  Vectors<double> first(A.cols(), start.cols() + 1);
  Vector<double> random(A.cols());
  Random(options.seed, "start").fill_normal(random);
  first << start, random;
  Space space{A, Vectors<double>(A.cols(), 0), Vectors<double>(A.rows(), 0)};
  space.extend(first);

  SpectrumEnds ends;
  for (Index round = 0;; ++round) {
    const Vectors<double> H = gram(space.V, space.AV);
    const SymmetricEigen ritz = symmetric_eigen((H + H.transpose()) / 2, true);
    const Index size = space.size();
    Vectors<double> both(size, 2);
    both << ritz.vectors.col(0), ritz.vectors.col(size - 1);
    ends.smallest = ritz.values[0], ends.largest = ritz.values[size - 1];
    ends.vectors = space.V * both;
    Vectors<double> residuals = space.AV * both;
    residuals.col(0) -= ends.smallest * ends.vectors.col(0);
    residuals.col(1) -= ends.largest * ends.vectors.col(1);
    ends.smallest_residual = residuals.col(0).norm(), ends.largest_residual = residuals.col(1).norm();
    const double small = options.tolerance * std::max(std::abs(ends.smallest), std::abs(ends.largest));
    const Index products = A.products() - before;
    const std::string after = " after " + std::to_string(products) + " products";
    if (size == A.cols()) {
      ends.status = {true, products, "the space is the whole one" + after};
    } else {
      const bool converged =
          round >= kRounds && ends.smallest_residual <= small && ends.largest_residual <= small;
      ends.status = {
          converged, products,
          (converged ? "both residuals are within the tolerance" : "the residuals are above the tolerance") +
              after};
    }
    if (ends.status.converged || products >= options.max_products) return ends;
    if (size + 2 > kLargestSpace && size < A.cols()) {
      Vectors<double> kept(size, 2 * kKept);
      kept << ritz.vectors.leftCols(kKept), ritz.vectors.rightCols(kKept);
      space.V = (space.V * kept).eval();
      space.AV = (space.AV * kept).eval();
    }
    const Index had = space.size();
    space.extend(residuals);
    if (space.size() == had) {
      ends.status = {true, products, "the space is invariant" + after};
      return ends;
    }
  }
}

}  // namespace basin
