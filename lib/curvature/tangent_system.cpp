#include "basin/curvature/tangent_system.h"

#include <algorithm>
#include <cmath>

#include "basin/curvature/subspaces.h"
#include "basin/linalg/dense.h"

namespace basin {

UnknownMatrix TangentSystem::unknown(Index rows, Index cols, int group) {
  const Index first = size();
  groups_.resize(groups_.size() + static_cast<std::size_t>(rows * cols), group);
  return {first, rows, cols, false};
}

void TangentSystem::regroup_last_row(const UnknownMatrix& of, int group) {
  for (Index col = 0; col < of.cols; ++col)
    groups_[static_cast<std::size_t>(of.index(of.rows - 1, col))] = group;
}

Index TangentSystem::equations(Index rows, Index cols) {
  const Index first = equations_;
  equations_ += rows * cols;
  return first;
}

void TangentSystem::add(Index first, const Vectors<double>& L, const UnknownMatrix& X,
                        const Vectors<double>& R) {
  if (X.first < 0) return;
  const Index cols = R.cols();
  for (Index i = 0; i < L.rows(); ++i)
    for (Index a = 0; a < L.cols(); ++a) {
      if (L(i, a) == 0) continue;
      for (Index b = 0; b < R.rows(); ++b)
        for (Index j = 0; j < cols; ++j)
          if (R(b, j) != 0) add(first + i * cols + j, L(i, a) * R(b, j), X, a, b);
    }
}

void TangentSystem::add(Index number, double factor, const UnknownMatrix& X, Index row, Index col) {
  if (X.first >= 0) terms_.push_back({number, X.index(row, col), factor});
}

Vectors<double> TangentSystem::solutions() const {
  Vectors<double> M = Vectors<double>::Zero(equations_, size());
  for (const Term& t : terms_) M(t.equation, t.unknown) += t.factor;
  for (Index i = 0; i < M.rows(); ++i)
    if (const double length = M.row(i).stableNorm(); length > 0) M.row(i) /= length;
  return null_basis(M.rows() > M.cols() ? triangular_factor(M) : M);
}

}  // namespace basin
