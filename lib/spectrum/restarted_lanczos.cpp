#include "basin/spectrum/restarted_lanczos.h"

#include <algorithm>

#include "basin/linalg/sums.h"
#include "basin/spectrum/assembled_matrix.h"

namespace basin {

std::vector<Index> end_columns(const Wanted& wanted, Index size) {
  std::vector<Index> columns;
  for (Index j = 0; j < size; ++j)
    if (j < wanted.smallest || j >= size - wanted.largest) columns.push_back(j);
  return columns;
}

EndPairs ritz_pairs(const SelfAdjointOperator& A, const Vectors<double>& Z, const Wanted& wanted) {
  const Vectors<double> Q = orthonormal_columns(Z);
  Vectors<double> AQ(Q.rows(), Q.cols());
  A.apply(Q, AQ);
  check_finite(AQ);
  const Vectors<double> T = gram(Q, AQ);
  const SymmetricEigen eigen = symmetric_eigen((T + T.transpose()) / 2, true);
  const std::vector<Index> columns = end_columns(wanted, Z.cols());
  const Vectors<double> S = eigen.vectors(Eigen::all, columns);
  EndPairs pairs = {Q * S, eigen.values(columns), {}};
  pairs.residuals = column_norms(AQ * S - pairs.vectors * pairs.values.asDiagonal());
  return pairs;
}

Index least_krylov_size(const Wanted& wanted) {
  return std::max<Index>(2 * wanted.total() + 10, 24);
}

Index krylov_size(Index size, const Wanted& wanted, Index allowed) {
  return std::max(least_krylov_size(wanted), std::min(allowed, size / 2));
}

void ScaledShift::perform_op(const double* x, double* y) const {
  const Eigen::Map<const Vectors<double>> in(x, cols(), 1);
  Eigen::Map<Vectors<double>> out(y, rows(), 1);
  A_.apply(in, out);
  check_finite(out);
  out = out / scale_ + kShift * in;
  count_product_();
}

Lanczos::Lanczos(const ScaledShift& op, const Wanted& wanted, Index vectors)
    : factorisation_(Operator(op, {}), vectors), most_(vectors), wanted_(wanted), kept_(wanted) {
  while (kept_.total() < vectors / 2) {
    if (wanted.smallest > 0) ++kept_.smallest;
    if (wanted.largest > 0) ++kept_.largest;
  }
}

bool Lanczos::solve(const Vector<double>& start, const Stop& stop, Index max_restarts) {
  Eigen::Map<const Eigen::VectorXd> first(start.data(), start.size());
  factorisation_.init(first, products_);
  Index size = 1;
  for (;; ++restarts_) {
    while (size < most_) {
      const Index next = std::min(std::max(size + size / 8, size + 8), most_);
      factorisation_.factorize_from(size, next, products_);
      size = next;
      if (size > 2 * wanted_.total() && stops(size, stop)) return true;
    }
    if (restarts_ == max_restarts) return false;
    size = restart();
  }
}

Vectors<double> Lanczos::ritz_vectors() const {
  const Index size = factorisation_.subspace_dim();
  const SymmetricEigen ritz = projected(size);
  return factorisation_.matrix_V().leftCols(size) * ritz.vectors(Eigen::all, end_columns(wanted_, size));
}

SymmetricEigen Lanczos::projected(Index size) const {
  return symmetric_eigen(factorisation_.matrix_H().topLeftCorner(size, size), true);
}

bool Lanczos::stops(Index size, const Stop& stop) const {
  const SymmetricEigen ritz = projected(size);
  const std::vector<Index> columns = end_columns(wanted_, size);
  const Vector<double> last = ritz.vectors.row(size - 1).transpose();
  return stop(ritz.values(columns).array() - ScaledShift::kShift,
              factorisation_.f_norm() * last(columns).cwiseAbs());
}

Index Lanczos::restart() {
  const Vector<double> ritz = projected(most_).values;
  Vector<double> shifts = ritz.segment(kept_.smallest, most_ - kept_.total());
  std::sort(shifts.begin(), shifts.end(), std::greater<>());
  Spectra::TridiagQR<double> decomposition(most_);
  Vectors<double> Q = Vectors<double>::Identity(most_, most_);
  for (const double shift : shifts) {
    decomposition.compute(factorisation_.matrix_H(), shift);
    decomposition.apply_YQ(Q);
    factorisation_.compress_H(decomposition);
  }
  factorisation_.compress_V(Q);
  return kept_.total();
}

}  // namespace basin
