#include "basin/linalg/dense.h"

#include <algorithm>
#include <string>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/linalg/lapack.h"

namespace basin {
namespace {

void check(const char* routine, int info) {
  if (info != 0)
    throw WorkError(std::string("LAPACK ") + routine + " failed with info = " + std::to_string(info) +
                    (info > 0 ? ": no convergence" : ": illegal argument or out of memory"));
}

}  // namespace

Vector<double> singular_values(Vectors<double> A) {
  Vector<double> values;
  if (A.size() > 0) check("dgesvd", lapack::gesvd(A, values, nullptr, nullptr));
  return values;
}

SingularPairs singular_pairs(Vectors<double> A) {
  const Index rank = std::min(A.rows(), A.cols()), cols = A.cols();
  SingularPairs svd = {Vectors<double>(A.rows(), rank), Vector<double>(rank), Vectors<double>(cols, cols)};
  if (rank == 0) {
    svd.vectors.setIdentity();
    return svd;
  }
  check("dgesvd", lapack::gesvd(A, svd.values, &svd.left, &svd.vectors));
  svd.vectors.transposeInPlace();
  return svd;
}

namespace {

/// Householder's factorisation in place of A: R in its upper triangle; the scalars of the reflections.
Vector<double> reflections(VectorsRef<double> A) {
  if (!A.allFinite()) throw WorkError("orthogonal factorisation: an entry of the matrix overflows");
  Vector<double> tau;
  check("dgeqrf", lapack::geqrf(A, tau));
  return tau;
}

Vectors<double> upper_triangle(ConstVectorsRef<double> A) {
  Vectors<double> R = A.topRows(std::min(A.rows(), A.cols()));
  R.triangularView<Eigen::StrictlyLower>().setZero();
  return R;
}

}  // namespace

Vectors<double> triangular_factor(VectorsRef<double> A) {
  reflections(A);
  return upper_triangle(A);
}

OrthogonalTriangular orthogonal_triangular(Vectors<double> A) {
  const Vector<double> tau = reflections(A);
  Vectors<double> R = upper_triangle(A);
  check("dorgqr", lapack::orgqr(A, tau));
  return {std::move(A), std::move(R)};
}

Vectors<double> orthonormal_columns(Vectors<double> A) {
  return orthogonal_triangular(std::move(A)).Q;
}

Inertia inertia(VectorsRef<double> A) {
  Inertia count;
  if (A.rows() == 0) return count;
  std::vector<int> pivots;
  const int info = lapack::sytrf_rook(A, pivots);
  if (info < 0) check("dsytrf_rook", info);  // a positive one says that B is singular: counted below
  for (Index i = 0; i < A.rows(); ++i) {
    if (pivots[i] > 0 || i + 1 == A.rows()) {
      const double b = A(i, i);
      ++(b < 0 ? count.negative : b > 0 ? count.positive : count.zero);
    } else {  // a 2 x 2 block is indefinite, or else it would not have been chosen
      ++count.negative;
      ++count.positive;
      ++i;
    }
  }
  return count;
}

SymmetricEigen symmetric_eigen(Vectors<double> A, bool with_vectors) {
  Vector<double> values(A.rows());
  if (A.rows() == 0) return {values, A};
  check("dsyevd", lapack::syevd(A, with_vectors, values));
  if (!with_vectors) A.resize(0, 0);
  return {std::move(values), std::move(A)};
}

}  // namespace basin
