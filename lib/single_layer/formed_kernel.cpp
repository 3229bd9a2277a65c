#include "basin/single_layer/formed_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/parallel.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

// Rows of a tile: enough for matrix products, few enough to stay in cache.
constexpr Index kTileRows = 256;

/// Some consecutive samples.
struct Samples {
  Index first, count;
};

/// What all tiles of a point are made of, in the order in which products want it.
class KernelTiles {
 public:
  KernelTiles(const AttentionFactors& f, const std::vector<AttentionBlock>& blocks)
      : f_(f), o_(f.spec.outputs), n_(f.spec.tokens), width_(f.spec.heads * f.spec.head_dim) {
    XX_ = f.data->X * f.data->X.transpose();
    for (const AttentionBlock block : blocks) {
      if (block == kQ) stack_queries();
      if (block == kK) transpose_keys();
      if (block == kV)
        for (const HeadFactors& h : f.heads) outputs_.emplace_back(h.W_O.transpose() * h.W_O);
      if (block == kO) A_ = output_factor(f);
    }
  }

  /// tile = the kernel of a block for samples I against samples J.
  void make(AttentionBlock block, Samples I, Samples J, Matrix<double>& tile) const {
    if (block == kQ)
      queries(I, J, tile);
    else if (block == kK)
      keys(I, J, tile);
    else if (block == kV)
      values(I, J, tile);
    else
      outputs(I, J, tile);
  }

 private:
  void stack_queries() {
    G_.resize(f_.outputs(), width_);
    for (Index h = 0; h < f_.spec.heads; ++h)
      G_.middleCols(h * f_.spec.head_dim, f_.spec.head_dim) = f_.heads[h].G;
  }

  /// T_i of all heads with rows (key, head, dimension): mixing keys is then one product.
  void transpose_keys() {
    const Index d = f_.spec.head_dim;
    T_.resize(f_.data->samples);
    parallel_for(f_.data->samples, [&](Index i, Index) {
      T_[i].resize(n_ * width_, n_ * o_);
      for (Index h = 0; h < f_.spec.heads; ++h) {
        const Matrix<double> T = f_.key_jacobian(i, h);
        for (Index l = 0; l < n_; ++l)
          T_[i].middleRows(l * width_ + h * d, d) = T.middleCols(l * d, d).transpose();
      }
    });
  }

  Index rows(Samples s) const { return s.count * n_ * o_; }
  Index tokens(Samples s) const { return s.count * n_; }
  auto of(const Matrix<double>& per_token, Samples s) const {
    return per_token.middleRows(s.first * n_, s.count * n_);
  }

  /// (x_a . x_b) sum_h G_ah G_bh^T
  void queries(Samples I, Samples J, Matrix<double>& tile) const {
    tile.noalias() =
        G_.middleRows(I.first * n_ * o_, rows(I)) * G_.middleRows(J.first * n_ * o_, rows(J)).transpose();
    for (Index r = 0; r < tile.rows(); ++r)
      for (Index b = 0; b < tokens(J); ++b)
        tile.row(r).segment(b * o_, o_) *= XX_(I.first * n_ + r / o_, J.first * n_ + b);
  }

  /// sum_h T_ih (X_i X_j^T (x) I_d) T_jh^T
  void keys(Samples I, Samples J, Matrix<double>& tile) const {
    Matrix<double> mixed(n_, width_ * n_ * o_);
    for (Index i = 0; i < I.count; ++i)
      for (Index j = 0; j < J.count; ++j) {
        const Matrix<double>&Ti = T_[I.first + i], &Tj = T_[J.first + j];
        mixed.noalias() = XX_.block((J.first + j) * n_, (I.first + i) * n_, n_, n_) *
                          Eigen::Map<const Matrix<double>>(Ti.data(), n_, width_ * n_ * o_);
        tile.block(i * n_ * o_, j * n_ * o_, n_ * o_, n_ * o_).noalias() =
            Eigen::Map<const Matrix<double>>(mixed.data(), n_ * width_, n_ * o_).transpose() * Tj;
      }
  }

  /// sum_h B_h B_h^T (x) W_O^T W_O
  void values(Samples I, Samples J, Matrix<double>& tile) const {
    tile.setZero();
    Matrix<double> P(tokens(I), tokens(J));
    for (Index h = 0; h < f_.spec.heads; ++h) {
      P.noalias() = of(f_.heads[h].B, I) * of(f_.heads[h].B, J).transpose();
      for (Index r = 0; r < tile.rows(); ++r)
        for (Index b = 0; b < P.cols(); ++b)
          tile.row(r).segment(b * o_, o_) += P(r / o_, b) * outputs_[h].row(r % o_);
    }
  }

  /// (A A^T) (x) I
  void outputs(Samples I, Samples J, Matrix<double>& tile) const {
    tile.setZero();
    const Matrix<double> P = of(A_, I) * of(A_, J).transpose();
    for (Index r = 0; r < tile.rows(); ++r)
      for (Index b = 0; b < P.cols(); ++b) tile(r, b * o_ + r % o_) = P(r / o_, b);
  }

  const AttentionFactors& f_;
  Index o_, n_, width_;
  Matrix<double> XX_, G_, A_;
  std::vector<Matrix<double>> T_, outputs_;
};

/// The relative error of softmax weights, e^score: that of the scores, of which perturbed points may
/// show less by chance. (In Gaussian weights differences of queries and keys make up most of it, which they
/// do show.)
double rounding_of_weights(const AttentionFactors& f) {
  if (f.spec.kernel != KernelKind::softmax) return 0;
  double scores = 0;
  for (const HeadFactors& h : f.heads)
    scores = std::max(scores, h.Q.rowwise().norm().maxCoeff() * h.K.rowwise().norm().maxCoeff());
  scores /= std::sqrt(static_cast<double>(f.spec.head_dim));
  return std::numeric_limits<double>::epsilon() * (scores + static_cast<double>(f.spec.tokens));
}

}  // namespace

FormedKernel formed_kernel(const MeasuredFactors& measured, const std::vector<std::string>& names) {
  const std::vector<AttentionBlock> blocks = blocks_named(names);
  const AttentionFactors& f = measured.factors;
  const Index per_sample = f.spec.tokens * f.spec.outputs, N = f.data->samples;
  const Index count = std::max<Index>(1, kTileRows / per_sample), groups = (N + count - 1) / count;
  const auto group = [&](Index g) { return Samples{g * count, std::min(count, N - g * count)}; };
  const KernelTiles tiles(f, blocks);
  std::vector<KernelTiles> perturbed;
  for (const AttentionFactors& there : measured.perturbed) perturbed.emplace_back(there, blocks);
  const auto points = static_cast<Index>(perturbed.size());

  FormedKernel result;
  result.K.resize(f.outputs(), f.outputs());
  // Of the distances from every perturbed point, block by block, and last of the kernel.
  Matrix<double> squares = Matrix<double>::Zero(groups, points * static_cast<Index>(blocks.size()) + 1);
  parallel_for(groups, [&](Index i, Index) {
    const Samples I = group(i);
    for (Index j = 0; j <= i; ++j) {
      const Samples J = group(j);
      Matrix<double> sum = Matrix<double>::Zero(I.count * per_sample, J.count * per_sample);
      Matrix<double> tile(sum.rows(), sum.cols()), moved(sum.rows(), sum.cols());
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        tiles.make(blocks[b], I, J, tile);
        sum += tile;
        for (Index p = 0; p < points; ++p) {
          perturbed[p].make(blocks[b], I, J, moved);
          squares(i, static_cast<Index>(b) * points + p) += (i == j ? 1 : 2) * (tile - moved).squaredNorm();
        }
      }
      squares(i, squares.cols() - 1) += (i == j ? 1 : 2) * sum.squaredNorm();
      result.K.block(I.first * per_sample, J.first * per_sample, sum.rows(), sum.cols()) = sum;
    }
  });
  for (Index b = 0; b < static_cast<Index>(blocks.size()); ++b)
    result.error += 4 * std::sqrt(squares.middleCols(b * points, points).colwise().sum().maxCoeff());
  result.error += 2 * rounding_of_weights(f) * std::sqrt(squares.col(squares.cols() - 1).sum());
  // Where squares underflow a perturbed point shows nothing.
  result.error += static_cast<double>(f.outputs()) * std::sqrt(std::numeric_limits<double>::min());
  return result;
}

double formed_kernel_bytes(const AttentionSpec& spec, Index samples) {
  const Index m = samples * spec.tokens * spec.outputs, width = spec.heads * spec.head_dim;
  const Index weights = width * (3 * spec.embedding + spec.outputs);
  const auto points = static_cast<double>(1 + perturbations(m * weights)), rows = static_cast<double>(m);
  // The products of inputs and T of every point; what mixes keys, on every thread.
  const double tokens = static_cast<double>(samples * spec.tokens),
               per_row = static_cast<double>(spec.tokens * width);
  return 8 * (rows * rows + points * (rows * per_row + tokens * tokens) +
              static_cast<double>(thread_slots() * spec.tokens * spec.outputs) * per_row);
}

}  // namespace basin
