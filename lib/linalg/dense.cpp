#include "linalg/dense.h"

#include <lapacke.h>

#include <algorithm>
#include <string>
#include <vector>

#include "linalg/errors.h"

extern "C" void openblas_set_num_threads(int);
// With POSIX threads only; OpenBLAS's own name. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" [[gnu::weak]] int blas_thread_shutdown_();

namespace basin {
namespace {

void check(const char* routine, lapack_int info) {
  if (info != 0)
    throw WorkError(std::string("LAPACK ") + routine + " failed with info = " + std::to_string(info) +
                    (info > 0 ? ": no convergence" : ": illegal argument or out of memory"));
}

lapack_int size(Index n) {
  return static_cast<lapack_int>(n);
}

/// Before the first call of any routine below: one thread, and an end to the others, which OpenBLAS starts
/// when it is loaded and which would wait for work in a loop, 30 ms of processor time each.
[[maybe_unused]] const bool one_thread = [] {
  openblas_set_num_threads(1);
  if (blas_thread_shutdown_ != nullptr) blas_thread_shutdown_();
  return true;
}();

}  // namespace

Vector<double> singular_values(Vectors<double> A) {
  Vector<double> values(std::min(A.rows(), A.cols())), superdiagonal(values.size());
  check("dgesvd",
        LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'N', 'N', size(A.rows()), size(A.cols()), A.data(),
                       size(A.outerStride()), values.data(), nullptr, 1, nullptr, 1, superdiagonal.data()));
  return values;
}

SingularPairs singular_pairs(Vectors<double> A) {
  const Index rank = std::min(A.rows(), A.cols()), cols = A.cols();
  SingularPairs svd = {Vectors<double>(A.rows(), rank), Vector<double>(rank), Vectors<double>(cols, cols)};
  if (rank == 0) {
    svd.vectors.setIdentity();
    return svd;
  }
  Vector<double> superdiagonal(rank);
  check("dgesvd", LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'S', 'A', size(A.rows()), size(cols), A.data(),
                                 size(A.outerStride()), svd.values.data(), svd.left.data(), size(A.rows()),
                                 svd.vectors.data(), size(cols), superdiagonal.data()));
  svd.vectors.transposeInPlace();
  return svd;
}

namespace {

/// Householder's factorisation in place of A: R in its upper triangle; the scalars of the reflections.
Vector<double> reflections(VectorsRef<double> A) {
  if (!A.allFinite()) throw WorkError("orthogonal factorisation: an entry of the matrix overflows");
  Vector<double> tau(std::min(A.rows(), A.cols()));
  check("dgeqrf", LAPACKE_dgeqrf(LAPACK_COL_MAJOR, size(A.rows()), size(A.cols()), A.data(),
                                 size(A.outerStride()), tau.data()));
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
  check("dorgqr", LAPACKE_dorgqr(LAPACK_COL_MAJOR, size(A.rows()), size(A.cols()), size(A.cols()), A.data(),
                                 size(A.outerStride()), tau.data()));
  return {std::move(A), std::move(R)};
}

Vectors<double> orthonormal_columns(Vectors<double> A) {
  return orthogonal_triangular(std::move(A)).Q;
}

Inertia inertia(VectorsRef<double> A) {
  Inertia count;
  if (A.rows() == 0) return count;
  std::vector<lapack_int> pivots(A.rows());
  const lapack_int info = LAPACKE_dsytrf_rook(LAPACK_COL_MAJOR, 'L', size(A.rows()), A.data(),
                                              size(A.outerStride()), pivots.data());
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
  check("dsyevd", LAPACKE_dsyevd(LAPACK_COL_MAJOR, with_vectors ? 'V' : 'N', 'L', size(A.rows()), A.data(),
                                 size(A.outerStride()), values.data()));
  if (!with_vectors) A.resize(0, 0);
  return {std::move(values), std::move(A)};
}

}  // namespace basin
