#include "basin/curvature/symmetry_families.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"

namespace basin {
namespace {

constexpr double kZeroSingular = 1e-10;  // of the largest singular value

/// How many of these descending values are not negligible beside `largest`.
Index numerical_rank(const Vector<double>& values, double largest) {
  Index rank = 0;
  while (rank < values.size() && values[rank] > kZeroSingular * largest) ++rank;
  return rank;
}

Vector<double> padded(const Vector<double>& values, Index rank, Index size) {
  Vector<double> all = Vector<double>::Zero(size);
  all.head(rank) = values.head(rank);
  return all;
}

}  // namespace

Vectors<double> BlockSlice::read(const double* v) const {
  const auto block = BlockView<const double>(v, 1, 0, {&slot, 1})(0, 0, slice);
  return transposed ? Vectors<double>(block.transpose()) : Vectors<double>(block);
}

void BlockSlice::add(const Vectors<double>& block, double* out) const {
  auto place = BlockView<double>(out, 1, 0, {&slot, 1})(0, 0, slice);
  if (transposed)
    place += block.transpose();
  else
    place += block;
}

void add_row(FamilyTable& table, const std::string& name, Index dimension) {
  const auto same =
      std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.first == name; });
  if (same == table.end())
    table.emplace_back(name, dimension);
  else
    same->second += dimension;
}

FeatureFamily::FeatureFamily(BlockSlice block, Vectors<double> features)
    : block_(block), features_(std::move(features)) {}

Index FeatureFamily::dimension() const {
  return features_.cols() * block_.cols();
}

void FeatureFamily::add_projection(const double* v, double* out) const {
  block_.add(features_ * (features_.transpose() * block_.read(v)), out);
}

TranslationFamily::TranslationFamily(BlockSlice first, BlockSlice second, Vectors<double> features)
    : first_(first), second_(second), features_(std::move(features)) {}

Index TranslationFamily::dimension() const {
  return features_.cols() * first_.cols();
}

void TranslationFamily::add_projection(const double* v, double* out) const {
  const Vectors<double> moved = features_ * (features_.transpose() * (first_.read(v) + second_.read(v))) / 2;
  first_.add(moved, out);
  second_.add(moved, out);
}

ProductFamily::Side ProductFamily::make_side(const Factor& factor) {
  SingularPairs svd = singular_pairs(factor.seen.transpose() * factor.value);
  Side side;
  side.trained = factor.trained;
  side.block = factor.block;
  side.seen = factor.seen;
  side.rank = numerical_rank(svd.values, factor.value.norm());
  side.values = padded(svd.values, side.rank, factor.value.cols());
  side.left = factor.seen * svd.left.leftCols(side.rank);
  side.right = std::move(svd.vectors);
  return side;
}

ProductFamily::ProductFamily(const Factor& A, const Factor& B) : A_(make_side(A)), B_(make_side(B)) {
  // A moves freely where B has a null space; but where that null space moves with B and shrinks as B does,
  // nothing is left of the direction nearby.
  A_.moves_freely = A_.trained && (!B_.trained || B_.rank == B.seen.cols());
  B_.moves_freely = B_.trained && (!A_.trained || A_.rank == A.seen.cols());
  const Index d = A_.values.size();
  if (A_.moves_freely) dimension_ += (d - B_.rank) * A.seen.cols();
  if (B_.moves_freely) dimension_ += (d - A_.rank) * B.seen.cols();
  for (Index i = 0; i < d; ++i)
    for (Index j = 0; j < d; ++j) dimension_ += in_gauge(i, j) ? 1 : 0;
}

/// Whether (s_i u_i f_j^T, -t_j v_j e_i^T) is a direction of its own: not zero, and not contained in what
/// moves freely.
bool ProductFamily::in_gauge(Index i, Index j) const {
  if (!A_.trained || !B_.trained) return false;
  const bool a = i < A_.rank, b = j < B_.rank;
  return (a && b) || (a && !A_.moves_freely) || (b && !B_.moves_freely);
}

void ProductFamily::add_projection(const double* v, double* out) const {
  const Index d = A_.values.size();
  // In the orthonormal coordinates u_i f_j^T of A and v_j e_i^T of B each gauge direction has two entries.
  Vectors<double> VA, VB;
  if (A_.trained) VA = A_.block.read(v);
  if (B_.trained) VB = B_.block.read(v);
  Vectors<double> PA, PB;
  if (A_.trained && B_.trained) {
    Vectors<double> a = A_.left.transpose() * VA * B_.right, b = B_.left.transpose() * VB * A_.right;
    for (Index j = 0; j < d; ++j)
      for (Index i = 0; i < d; ++i) {
        const bool in_a = i < A_.rank, in_b = j < B_.rank;
        const bool wanted = in_gauge(i, j);
        const double length = std::hypot(A_.values[i], B_.values[j]);
        const double s = wanted ? A_.values[i] / length : 0, t = wanted ? B_.values[j] / length : 0;
        const double c = (in_a ? s * a(i, j) : 0) - (in_b ? t * b(j, i) : 0);
        if (in_a) a(i, j) = s * c;
        if (in_b) b(j, i) = -t * c;
      }
    PA = A_.left * a * B_.right.transpose();
    PB = B_.left * b * A_.right.transpose();
  } else {
    PA = Vectors<double>::Zero(VA.rows(), VA.cols());
    PB = Vectors<double>::Zero(VB.rows(), VB.cols());
  }
  if (A_.moves_freely) {
    const auto F = B_.right.rightCols(d - B_.rank);
    PA += A_.seen * (A_.seen.transpose() * (VA * F)) * F.transpose();
  }
  if (B_.moves_freely) {
    const auto E = A_.right.rightCols(d - A_.rank);
    PB += B_.seen * (B_.seen.transpose() * (VB * E)) * E.transpose();
  }
  if (A_.trained) A_.block.add(PA, out);
  if (B_.trained) B_.block.add(PB, out);
}

RotationFamily::RotationFamily(std::vector<BlockSlice> blocks, const Vectors<double>& Z,
                               const Vectors<double>& columns, double scale)
    : blocks_(std::move(blocks)) {
  const SingularPairs svd = singular_pairs(Z);
  rank_ = numerical_rank(svd.values, scale);
  values_ = padded(svd.values, rank_, Z.cols());
  left_ = svd.left.leftCols(rank_);
  right_ = columns * svd.vectors;
}

Index RotationFamily::dimension() const {
  const Index s = right_.cols();
  return s * (s - 1) / 2 - (s - rank_) * (s - rank_ - 1) / 2;
}

void RotationFamily::add_projection(const double* v, double* out) const {
  Vectors<double> V(left_.rows(), blocks_.front().cols());
  Index first = 0;
  for (const BlockSlice& block : blocks_) {
    V.middleRows(first, block.rows()) = block.read(v);
    first += block.rows();
  }
  // Z (e_i e_j^T - e_j e_i^T) = s_i u_i e_j^T - s_j u_j e_i^T: orthogonal to each other.
  Vectors<double> a = left_.transpose() * V * right_;
  Vectors<double> p = Vectors<double>::Zero(a.rows(), a.cols());
  for (Index i = 0; i < rank_; ++i)
    for (Index j = i + 1; j < right_.cols(); ++j) {
      const bool both = j < rank_;
      const double length = std::hypot(values_[i], values_[j]);
      const double s = values_[i] / length, t = values_[j] / length;
      const double c = s * a(i, j) - (both ? t * a(j, i) : 0);
      p(i, j) = s * c;
      if (both) p(j, i) = -t * c;
    }
  const Vectors<double> P = left_ * p * right_.transpose();
  first = 0;
  for (const BlockSlice& block : blocks_) {
    block.add(P.middleRows(first, block.rows()), out);
    first += block.rows();
  }
}

void DenseFamily::add_projection(const double* v, double* out) const {
  Vector<double> x(basis_.rows());
  Index first = 0;
  for (const BlockSlice& block : blocks_) {
    const Vectors<double> part = block.read(v);
    x.segment(first, part.size()) = Eigen::Map<const Vector<double>>(part.data(), part.size());
    first += part.size();
  }
  const Vector<double> p = basis_ * (basis_.transpose() * x);
  first = 0;
  for (const BlockSlice& block : blocks_) {
    block.add(Eigen::Map<const Vectors<double>>(p.data() + first, block.rows(), block.cols()), out);
    first += block.rows() * block.cols();
  }
}

Vectors<double> null_space(const Vectors<double>& A, double scale) {
  const SingularPairs svd = singular_pairs(A);
  const Index rank = numerical_rank(svd.values, std::max(scale, svd.values.size() > 0 ? svd.values[0] : 0));
  return svd.vectors.rightCols(A.cols() - rank);
}

}  // namespace basin
