/// The tangents of the symmetries of an attention model as they are written in the theory, one by one.
#pragma once

#include <algorithm>
#include <vector>

#include "basin/linalg/dense.h"
#include "basin/single_layer/attention_symmetries.h"
#include "basin/single_layer/data_features.h"

namespace basin::test {

inline Vectors<double> side_by_side(const std::vector<Vectors<double>>& parts) {
  Index cols = 0;
  for (const auto& p : parts) cols += p.cols();
  Vectors<double> all(parts.front().rows(), cols);
  cols = 0;
  for (const auto& p : parts) {
    all.middleCols(cols, p.cols()) = p;
    cols += p.cols();
  }
  return all;
}

inline Vectors<double> project_on(const Vectors<double>& basis, const Vectors<double>& V) {
  return basis * (basis.transpose() * V);
}

/// Tangents as they are written in the theory, one after another.
class TangentList {
 public:
  explicit TangentList(Index length) : length_(length) {}
  Vector<double>& next() {
    tangents_.emplace_back(Vector<double>::Zero(length_));
    return tangents_.back();
  }
  Vectors<double> matrix() const {
    Vectors<double> T(length_, static_cast<Index>(tangents_.size()));
    for (Index j = 0; j < T.cols(); ++j) T.col(j) = tangents_[j];
    return T;
  }
  /// u c^T for all columns u and c of these.
  void add_outer(const BlockSlice& block, const Vectors<double>& U, const Vectors<double>& C) {
    for (Index i = 0; i < U.cols(); ++i)
      for (Index j = 0; j < C.cols(); ++j) block.add(U.col(i) * C.col(j).transpose(), next().data());
  }

 private:
  Index length_;
  std::vector<Vector<double>> tangents_;
};

/// The explicit tangents themselves, not normalised and in general dependent, one a column (P x q): what
/// Symmetries is tested against. For small models only: q is about 2 H d^2.
inline Vectors<double> symmetry_tangents(const ModelPoint<double>& point) {
  const AttentionView at(point);
  const DataFeatures features = data_features(at.data());
  const AttentionSpec& spec = at.spec();
  const Index D = spec.embedding, d = spec.head_dim, o = spec.outputs;
  const bool softmax = at.softmax();
  const auto I = [](Index size) { return Vectors<double>(Vectors<double>::Identity(size, size)); };
  const Vectors<double> not_moving = side_by_side({features.null, features.constant});
  TangentList list(point.theta_size());
  for (Index h = 0; h < spec.heads; ++h) {
    const auto free = [&](AttentionBlock neighbour, const Vectors<double>& seen,
                          bool trained) -> Vectors<double> {
      const Vectors<double> W = head_values(at, neighbour, h), N = null_space(seen.transpose() * W, W.norm());
      if (at.trains(neighbour) && d - N.cols() < std::min(d, seen.cols())) return Vectors<double>(d, 0);
      return trained ? N : Vectors<double>(d, 0);
    };
    const auto add_gauge = [&](AttentionBlock a, AttentionBlock b) {
      for (Index i = 0; i < d; ++i)
        for (Index j = 0; j < d; ++j) {
          Vectors<double> M = Vectors<double>::Zero(d, d);
          M(i, j) = 1;
          Vector<double>& t = list.next();
          head_block(at, a, h).add(head_values(at, a, h) * M, t.data());
          head_block(at, b, h).add(-head_values(at, b, h) * M.transpose(), t.data());
        }
    };
    if (at.trains(kQ)) list.add_outer(head_block(at, kQ, h), features.null, I(d));
    if (at.trains(kK)) list.add_outer(head_block(at, kK, h), softmax ? not_moving : features.null, I(d));
    if (at.trains(kV)) list.add_outer(head_block(at, kV, h), features.null, I(d));
    if (at.trains(kV) && at.trains(kO)) add_gauge(kV, kO);
    list.add_outer(head_block(at, kV, h), I(D), free(kO, I(o), at.trains(kV)));
    list.add_outer(head_block(at, kO, h), I(o), free(kV, features.seen(), at.trains(kO)));
    if (softmax) {
      if (at.trains(kQ) && at.trains(kK)) add_gauge(kQ, kK);
      list.add_outer(head_block(at, kQ, h), I(D), free(kK, features.moving, at.trains(kQ)));
      list.add_outer(head_block(at, kK, h), I(D), free(kQ, features.seen(), at.trains(kK)));
      continue;
    }
    // Gaussian: rotations of queries and keys together, or of one in the null space of the other.
    if (at.trains(kQ) && at.trains(kK))
      for (Index i = 0; i < features.constant.cols(); ++i)
        for (Index j = 0; j < d; ++j) {
          Vector<double>& t = list.next();
          for (const AttentionBlock b : {kQ, kK})
            head_block(at, b, h).add(features.constant.col(i) * I(d).row(j), t.data());
        }
    for (const AttentionBlock b : {kQ, kK}) {
      const AttentionBlock other = b == kQ ? kK : kQ;
      if (!at.trains(b) || (b == kK && at.trains(kQ))) continue;
      const bool together = at.trains(other);
      const Vectors<double> fixed = head_values(at, other, h);
      const Vectors<double> Z =
          together ? I(d) : null_space(features.moving.transpose() * fixed, fixed.norm());
      for (Index i = 0; i < Z.cols(); ++i)
        for (Index j = i + 1; j < Z.cols(); ++j) {
          const Vectors<double> Omega = Z.col(i) * Z.col(j).transpose() - Z.col(j) * Z.col(i).transpose();
          Vector<double>& t = list.next();
          const Vectors<double> shift =
              together ? Vectors<double>::Zero(D, d) : project_on(features.constant, fixed);
          head_block(at, b, h).add((head_values(at, b, h) - shift) * Omega, t.data());
          if (together) head_block(at, other, h).add(fixed * Omega, t.data());
        }
    }
  }
  if (softmax && at.trains(kV) && features.constant.cols() > 0) {
    Vectors<double> S(o, d * spec.heads);
    for (Index h = 0; h < spec.heads; ++h) S.middleCols(h * d, d) = head_values(at, kO, h);
    const Vectors<double> C = null_space(S);
    if (!at.trains(kO) || S.cols() - C.cols() == std::min(S.rows(), S.cols()))
      for (Index i = 0; i < features.constant.cols(); ++i)
        for (Index j = 0; j < C.cols(); ++j) {
          Vector<double>& t = list.next();
          for (Index h = 0; h < spec.heads; ++h)
            head_block(at, kV, h).add(features.constant.col(i) * C.col(j).segment(h * d, d).transpose(),
                                      t.data());
        }
  }
  if (softmax && at.trains(kO) && features.constant.cols() > 0) {
    // All heads at once: (c_1, ..., c_H) with X~ W_V[h] c_h = 0 and sum_h X W_V[h] c_h = 0.
    const Index r = features.rank_centred();
    Vectors<double> S = Vectors<double>::Zero(spec.heads * r + features.constant.cols(), d * spec.heads);
    bool full = true;
    for (Index h = 0; h < spec.heads; ++h) {
      const Vectors<double> seen = features.moving.transpose() * head_values(at, kV, h);
      S.block(h * r, h * d, r, d) = seen;
      S.block(spec.heads * r, h * d, features.constant.cols(), d) =
          features.constant.transpose() * head_values(at, kV, h);
      full = full && d - null_space(seen).cols() == std::min(d, r);
    }
    const Vectors<double> C = null_space(S);
    for (Index j = 0; (full || !at.trains(kV)) && j < C.cols(); ++j)
      for (Index i = 0; i < o; ++i) {
        Vector<double>& t = list.next();
        for (Index h = 0; h < spec.heads; ++h)
          head_block(at, kO, h).add(I(o).col(i) * C.col(j).segment(h * d, d).transpose(), t.data());
      }
  }
  return list.matrix();
}

/// An orthonormal basis of the span of the columns of T: left singular vectors whose singular values are
/// above 1e-10 of the largest.
inline Vectors<double> orthonormal_basis(const Vectors<double>& T) {
  const SingularPairs svd = singular_pairs(T.transpose());
  Index rank = 0;
  while (rank < svd.values.size() && svd.values[rank] > 1e-10 * svd.values[0]) ++rank;
  return svd.vectors.leftCols(rank);
}

}  // namespace basin::test
