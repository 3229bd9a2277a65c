#include "linalg/dense.h"

#include <lapacke.h>

#include <algorithm>
#include <string>

#include "linalg/errors.h"

extern "C" void openblas_set_num_threads(int);

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

// Before the first call of any routine below.
[[maybe_unused]] const bool one_thread = (openblas_set_num_threads(1), true);

}  // namespace

Vector<double> singular_values(Vectors<double> A) {
  Vector<double> values(std::min(A.rows(), A.cols())), superdiagonal(values.size());
  check("dgesvd",
        LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'N', 'N', size(A.rows()), size(A.cols()), A.data(),
                       size(A.outerStride()), values.data(), nullptr, 1, nullptr, 1, superdiagonal.data()));
  return values;
}

Vectors<double> triangular_factor(VectorsRef<double> A) {
  const Index rank = std::min(A.rows(), A.cols());
  Vector<double> tau(rank);
  check("dgeqrf", LAPACKE_dgeqrf(LAPACK_COL_MAJOR, size(A.rows()), size(A.cols()), A.data(),
                                 size(A.outerStride()), tau.data()));
  Vectors<double> R = A.topRows(rank);
  R.triangularView<Eigen::StrictlyLower>().setZero();
  return R;
}

SymmetricEigen symmetric_eigen(Vectors<double> A, bool with_vectors) {
  Vector<double> values(A.rows());
  check("dsyevd", LAPACKE_dsyevd(LAPACK_COL_MAJOR, with_vectors ? 'V' : 'N', 'L', size(A.rows()), A.data(),
                                 size(A.outerStride()), values.data()));
  if (!with_vectors) A.resize(0, 0);
  return {std::move(values), std::move(A)};
}

}  // namespace basin
