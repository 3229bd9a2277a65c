#include "basin/single_layer/attention_symmetries.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/single_layer/data_features.h"
#include "basin/single_layer/logit_symmetries.h"

namespace basin {
namespace {

Vectors<double> side_by_side(const std::vector<Vectors<double>>& parts) {
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

Vectors<double> project_on(const Vectors<double>& basis, const Vectors<double>& V) {
  return basis * (basis.transpose() * V);
}

/// Constants that heads trade (softmax): dW_V[h] = u c_h^T with a constant feature u and sum_h W_O[h]^T c_h =
/// 0; dW_O[h] = c_h w^T with X~ W_V[h] c_h = 0 and sum_h X W_V[h] c_h = 0. They couple all heads and are not
/// orthogonal to the gauges of the heads, whose span is taken away from them.
class ConstantTrades final : public SymmetryFamily {
 public:
  ConstantTrades(const AttentionView& at, const DataFeatures& features,
                 std::vector<const SymmetryFamily*> others)
      : features_(features.constant),
        others_(std::move(others)),
        d_(at.spec().head_dim),
        outputs_(at.spec().outputs),
        length_(at.point().theta_size()) {
    const Index heads = at.spec().heads;
    for (Index h = 0; h < heads; ++h) {
      V_.push_back(head_block(at, kV, h));
      O_.push_back(head_block(at, kO, h));
    }
    value_side_.resize(d_ * heads, 0);
    output_side_.resize(d_ * heads, 0);
    if (at.trains(kV)) find_value_side(at);
    if (at.trains(kO)) find_output_side(at, features);
  }
  Index candidates() const { return features_.cols() * value_side_.cols() + output_side_.cols() * outputs_; }

  /// Takes the span of the others away: candidates()^2 numbers.
  void finish() {
    const Index q = candidates();
    Vectors<double> gram(q, q);
    parallel_for(q, [&](Index j, Index) {
      Vector<double> unit = Vector<double>::Zero(q), t = Vector<double>::Zero(length_);
      unit[j] = 1;
      expand(unit, t);
      remove_others(t);
      gram.col(j) = collect(t);
    });
    // The candidates are orthonormal: eigenvalues are squares of sines of angles to the others.
    const SymmetricEigen eigen = symmetric_eigen(gram, true);
    Index zeros = 0;
    while (zeros < q && eigen.values[zeros] <= 1e-10) ++zeros;
    coefficients_ = eigen.vectors.rightCols(q - zeros) *
                    eigen.values.tail(q - zeros).cwiseSqrt().cwiseInverse().asDiagonal();
  }

  Index dimension() const override { return coefficients_.cols(); }
  void add_projection(const double* v, double* out) const override {
    Vector<double> t = Eigen::Map<const Vector<double>>(v, length_);
    remove_others(t);
    const Vector<double> z = coefficients_ * (coefficients_.transpose() * collect(t));
    t.setZero();
    expand(z, t);
    remove_others(t);
    Eigen::Map<Vector<double>>(out, length_) += t;
  }

 private:
  void find_value_side(const AttentionView& at) {
    const Index heads = at.spec().heads;
    Vectors<double> S(outputs_, d_ * heads);
    for (Index h = 0; h < heads; ++h) S.middleCols(h * d_, d_) = head_values(at, kO, h);
    Vectors<double> N = null_space(S);
    const bool full = S.cols() - N.cols() == std::min(S.rows(), S.cols());
    if (!at.trains(kO) || full) value_side_ = std::move(N);
  }
  void find_output_side(const AttentionView& at, const DataFeatures& features) {
    const Index heads = at.spec().heads;
    std::vector<Vectors<double>> kernels, seen;
    bool full = true;
    for (Index h = 0; h < heads; ++h) {
      const Vectors<double> W = head_values(at, kV, h);
      kernels.push_back(null_space(features.moving.transpose() * W, W.norm()));
      seen.emplace_back(features.constant.transpose() * W * kernels.back());
      full = full && d_ - kernels.back().cols() == std::min(d_, features.rank_centred());
    }
    if (at.trains(kV) && !full) return;
    const Vectors<double> z = null_space(side_by_side(seen));
    output_side_.resize(d_ * heads, z.cols());
    Index first = 0;
    for (Index h = 0; h < heads; ++h) {
      output_side_.middleRows(h * d_, d_) = kernels[h] * z.middleRows(first, kernels[h].cols());
      first += kernels[h].cols();
    }
  }
  /// t += the tangents with these coefficients.
  void expand(const Vector<double>& z, Vector<double>& t) const {
    const Index e = features_.cols(), k = value_side_.cols(), l = output_side_.cols();
    const Eigen::Map<const Vectors<double>> value(z.data(), e, k), output(z.data() + e * k, outputs_, l);
    for (std::size_t h = 0; h < V_.size(); ++h) {
      const auto head = [&](const Vectors<double>& N) {
        return N.middleRows(static_cast<Index>(h) * d_, d_);
      };
      if (k > 0) V_[h].add(features_ * value * head(value_side_).transpose(), t.data());
      if (l > 0) O_[h].add(output * head(output_side_).transpose(), t.data());
    }
  }
  /// Its transpose.
  Vector<double> collect(const Vector<double>& t) const {
    const Index e = features_.cols(), k = value_side_.cols(), l = output_side_.cols();
    Vector<double> z = Vector<double>::Zero(candidates());
    Eigen::Map<Vectors<double>> value(z.data(), e, k), output(z.data() + e * k, outputs_, l);
    for (std::size_t h = 0; h < V_.size(); ++h) {
      const auto head = [&](const Vectors<double>& N) {
        return N.middleRows(static_cast<Index>(h) * d_, d_);
      };
      if (k > 0) value += features_.transpose() * V_[h].read(t.data()) * head(value_side_);
      if (l > 0) output += O_[h].read(t.data()) * head(output_side_);
    }
    return z;
  }
  void remove_others(Vector<double>& t) const {
    Vector<double> p = Vector<double>::Zero(length_);
    for (const SymmetryFamily* other : others_) other->add_projection(t.data(), p.data());
    t -= p;
  }

  std::vector<BlockSlice> V_, O_;
  Vectors<double> features_;
  std::vector<const SymmetryFamily*> others_;
  Index d_, outputs_, length_;
  Vectors<double> value_side_, output_side_;  ///< orthonormal, H d x k
  Vectors<double> coefficients_;
};

constexpr Index kMostTrades = 3000;

/// Gathers the families of a model at a point, orthogonal to each other.
class Builder {
 public:
  using Families = std::vector<Symmetries::Named>;

  explicit Builder(const ModelPoint<double>& point)
      : at_(point, "the space of symmetries"),
        features_(data_features(at_.data())),
        seen_(features_.seen()),
        unseen_by_keys_(features_.null),
        seen_by_keys_(seen_) {
    for (const auto& e : point.parameters().entries())
      if (!std::isfinite(point.weights.segment(e.offset, e.block.size()).squaredNorm()))
        throw WorkError("symmetry directions: squares of the entries of " + e.block.name + " overflow");
    if (at_.softmax()) {  // which ignores shifts of all keys
      seen_by_keys_ = features_.moving;
      unseen_by_keys_ = side_by_side({features_.null, features_.constant});
    }
  }

  Families build(std::string& left_out) {
    if (at_.trains(kQ) || at_.trains(kK))
      for (Index h = 0; h < at_.spec().heads; ++h) add_scores(h);
    if (at_.trains(kV) || at_.trains(kO)) {
      for (Index h = 0; h < at_.spec().heads; ++h) add_values(h);
      if (at_.softmax() && features_.constant.cols() > 0) add_trades(left_out);
    }
    if (!at_.softmax() && (at_.trains(kQ) || at_.trains(kK)) && (at_.trains(kV) || at_.trains(kO)))
      for (Index h = 0; h < at_.spec().heads; ++h) add_row_scale(h);
    return std::move(families_);
  }

 private:
  void add(const std::string& name, std::unique_ptr<const SymmetryFamily> family) {
    if (family->dimension() > 0) families_.push_back({name, std::move(family)});
  }

  void add_scores(Index h) {
    const bool Q = at_.trains(kQ), K = at_.trains(kK);
    const std::size_t first = families_.size();
    if (Q)
      add("null features of the data",
          std::make_unique<FeatureFamily>(head_block(at_, kQ, h), features_.null));
    if (K)
      add("null features of the data",
          std::make_unique<FeatureFamily>(head_block(at_, kK, h), unseen_by_keys_));
    if (at_.softmax())
      add(Q && K ? "query-key gauge" : "null space of the neighbour",
          std::make_unique<ProductFamily>(
              ProductFamily::Factor{head_values(at_, kQ, h), seen_, head_block(at_, kQ, h), Q},
              ProductFamily::Factor{head_values(at_, kK, h), seen_by_keys_, head_block(at_, kK, h), K}));
    else
      add_rotations(h);

    // With few samples each has symmetries of its own: then all of them, densely.
    Index dimension = 0;
    for (std::size_t i = first; i < families_.size(); ++i) dimension += families_[i].family->dimension();
    const auto own =
        score_symmetries(at_.spec().kernel, {head_values(at_, kQ, h), head_values(at_, kK, h), Q, K},
                         at_.data().X, at_.spec().tokens, dimension);
    if (!own) return;
    families_.resize(first);
    std::vector<BlockSlice> blocks;
    if (Q) blocks.push_back(head_block(at_, kQ, h));
    if (K) blocks.push_back(head_block(at_, kK, h));
    add("scores, sample by sample", std::make_unique<DenseFamily>(std::move(blocks), *own));
  }

  /// Gaussian kernel: distances of queries and keys.
  void add_rotations(Index h) {
    const bool Q = at_.trains(kQ), K = at_.trains(kK);
    const Vectors<double> W_Q = head_values(at_, kQ, h), W_K = head_values(at_, kK, h),
                          &fixed = Q ? W_K : W_Q;
    const double scale = std::max(W_Q.norm(), W_K.norm());
    const BlockSlice q = head_block(at_, kQ, h), k = head_block(at_, kK, h);
    if (Q && K) {
      add("translation", std::make_unique<TranslationFamily>(q, k, features_.constant));
      const Vectors<double> shift = project_on(features_.constant, W_Q + W_K) / 2;
      Vectors<double> Z(2 * at_.spec().embedding, at_.spec().head_dim);
      Z << project_on(seen_, W_Q) - shift, project_on(seen_, W_K) - shift;
      add("query-key rotation",
          std::make_unique<RotationFamily>(
              std::vector<BlockSlice>{q, k}, Z,
              Vectors<double>::Identity(at_.spec().head_dim, at_.spec().head_dim), scale));
    } else {
      // Rotations about an axis that holds all keys (queries) of a sample, moved there by a constant feature.
      const Vectors<double> free = null_space(features_.moving.transpose() * fixed, fixed.norm());
      const Vectors<double> Z =
          project_on(seen_, Q ? W_Q : W_K) * free - project_on(features_.constant, fixed) * free;
      add("null space of the neighbour",
          std::make_unique<RotationFamily>(std::vector<BlockSlice>{Q ? q : k}, Z, free, scale));
    }
  }

  void add_values(Index h) {
    const bool V = at_.trains(kV), O = at_.trains(kO);
    if (V)
      add("null features of the data",
          std::make_unique<FeatureFamily>(head_block(at_, kV, h), features_.null));
    add(V && O ? "value-output gauge" : "null space of the neighbour",
        std::make_unique<ProductFamily>(
            ProductFamily::Factor{head_values(at_, kV, h), seen_, head_block(at_, kV, h), V},
            ProductFamily::Factor{head_values(at_, kO, h),
                                  Vectors<double>::Identity(at_.spec().outputs, at_.spec().outputs),
                                  head_block(at_, kO, h), O}));
  }

  /// Gaussian kernel: all |q - k|^2 change by the same, and values (or outputs) take the factor back. With a
  /// feature that is 1 in every row, X c = 1, W_Q += c y^T / 2 for y that no moving query or key has a part
  /// along, and (q - k) y = 1: 2 (q - k) dq = 1.
  void add_row_scale(Index h) {
    const Vectors<double> u = bias_feature(features_, at_.data());
    if (u.cols() == 0) return;
    const Vectors<double> W_Q = head_values(at_, kQ, h), W_K = head_values(at_, kK, h);
    Vectors<double> moving(2 * features_.moving.cols(), W_Q.cols());
    moving << features_.moving.transpose() * W_Q, features_.moving.transpose() * W_K;
    const double scale = std::max(W_Q.norm(), W_K.norm());
    const Vectors<double> free = moving.rows() == 0
                                     ? Vectors<double>(Vectors<double>::Identity(W_Q.cols(), W_Q.cols()))
                                     : null_space(moving, scale);
    if (free.cols() == 0) return;
    // B y = u, y = free z
    const Vectors<double> B = features_.constant.transpose() * (W_Q - W_K) * free;
    const SingularPairs svd = singular_pairs(B);
    Vector<double> z = Vector<double>::Zero(free.cols());
    for (Index k = 0; k < svd.values.size(); ++k)
      if (svd.values[k] > 1e-10 * scale)
        z += svd.vectors.col(k) * (svd.left.col(k).dot(u.col(0)) / svd.values[k]);
    if ((B * z - u.col(0)).norm() > 1e-8 * u.norm()) return;
    const Vectors<double> dW = features_.constant * u * (free * z).transpose() / 2;
    const bool Q = at_.trains(kQ), V = at_.trains(kV);
    const std::vector<BlockSlice> blocks = {head_block(at_, Q ? kQ : kK, h), head_block(at_, V ? kV : kO, h)};
    Vector<double> t = Vector<double>::Zero(at_.point().theta_size());
    const double sigma = at_.spec().sigma();
    blocks[0].add(Q ? dW : Vectors<double>(-dW), t.data());
    blocks[1].add(head_values(at_, V ? kV : kO, h) / (2 * sigma * sigma), t.data());
    const double length = t.norm();
    for (int pass = 0; pass < 2; ++pass)
      for (const Symmetries::Named& other : families_) {
        Vector<double> p = Vector<double>::Zero(t.size());
        other.family->add_projection(t.data(), p.data());
        t -= p;
      }
    if (t.norm() <= 1e-8 * length) return;
    t /= t.norm();
    // what is left of it may move every block of the head
    std::vector<BlockSlice> all;
    std::vector<Vectors<double>> parts;
    Index size = 0;
    for (const AttentionBlock block : {kQ, kK, kV, kO})
      if (at_.trains(block)) {
        all.push_back(head_block(at_, block, h));
        parts.push_back(all.back().read(t.data()));
        size += parts.back().size();
      }
    Vectors<double> basis(size, 1);
    Index first = 0;
    for (const Vectors<double>& part : parts) {
      basis.col(0).segment(first, part.size()) = Eigen::Map<const Vector<double>>(part.data(), part.size());
      first += part.size();
    }
    add("row scale", std::make_unique<DenseFamily>(std::move(all), std::move(basis)));
  }

  void add_trades(std::string& left_out) {
    std::vector<const SymmetryFamily*> others;
    for (const auto& f : families_)
      if (f.name == "value-output gauge" || f.name == "null space of the neighbour")
        others.push_back(f.family.get());
    auto trades = std::make_unique<ConstantTrades>(at_, features_, std::move(others));
    if (trades->candidates() > kMostTrades) {
      left_out = "constants that heads trade (" + std::to_string(trades->candidates()) + " candidates)";
      return;
    }
    trades->finish();
    add("constants that heads trade", std::move(trades));
  }

  AttentionView at_;
  DataFeatures features_;
  Vectors<double> seen_, unseen_by_keys_, seen_by_keys_;
  Families families_;
};

}  // namespace

BlockSlice head_block(const AttentionView& at, AttentionBlock block, Index head) {
  return {at.point().parameters().theta_slots()[block], head, block == kO};
}

Vectors<double> head_values(const AttentionView& at, AttentionBlock block, Index head) {
  const BlockSlice in_weights = {at.point().parameters().weight_slots()[block], head, block == kO};
  return in_weights.read(at.point().weights.data());
}

Symmetries attention_symmetries(const ModelPoint<double>& point) {
  std::string left_out;
  Builder::Families families = Builder(point).build(left_out);
  return {point.theta_size(), std::move(families), std::move(left_out)};
}

}  // namespace basin
