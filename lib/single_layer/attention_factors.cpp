#include "basin/single_layer/attention_factors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

using ConstMap = Eigen::Map<const Matrix<double>>;

/// Gaussian attention of a query to a key is e to this.
template <class Query, class Key>
double exponent(const Query& q, const Key& k, double sigma) {
  return -0.5 * ((q - k) / sigma).squaredNorm();
}

/// Attention of each token of a sample to all of them; Gaussian: times e^-log_scale of the token.
Matrix<double> attention(const AttentionSpec& spec, ConstMatrixRef<double> Q, ConstMatrixRef<double> K,
                         const Vector<double>& log_scale) {
  Matrix<double> S(Q.rows(), K.rows());
  if (spec.kernel == KernelKind::softmax) {
    S = Q * K.transpose() / std::sqrt(static_cast<double>(spec.head_dim));
    for (Index k = 0; k < S.rows(); ++k) {
      S.row(k) = (S.row(k).array() - S.row(k).maxCoeff()).exp();
      S.row(k) /= S.row(k).sum();
    }
  } else {
    const double sigma = spec.sigma();
    for (Index k = 0; k < S.rows(); ++k)
      for (Index l = 0; l < S.cols(); ++l)
        S(k, l) = std::exp(exponent(Q.row(k), K.row(l), sigma) - log_scale[k]);
  }
  return S;
}

/// The rows of V relative to that with the largest weight in s.
Matrix<double> from_heaviest(const Vector<double>& s, ConstMatrixRef<double> V) {
  Index heaviest = 0;
  s.maxCoeff(&heaviest);
  return V.rowwise() - V.row(heaviest);
}

/// The rows of V relative to their mean under the weights s. Where one weight is nearly 1 its row is nearly
/// the mean: all are taken relative to that row first, so that what is left of it keeps its digits.
Matrix<double> centred(const Vector<double>& s, ConstMatrixRef<double> V) {
  const Matrix<double> U = from_heaviest(s, V);
  return U.rowwise() - s.transpose() * U;
}

/// D_out x d: how the output of a token moves with its query.
Matrix<double> query_jacobian(const AttentionSpec& spec, const Vector<double>& s, const Eigen::RowVectorXd& q,
                              ConstMatrixRef<double> K, ConstMatrixRef<double> V) {
  if (spec.kernel == KernelKind::softmax)
    // V^T (diag(s) - s s^T) K, which sees neither a shift of the keys nor one of the values
    return from_heaviest(s, V).transpose() * s.asDiagonal() * centred(s, K) /
           std::sqrt(static_cast<double>(spec.head_dim));
  return V.transpose() * s.asDiagonal() * (K.rowwise() - q) / (spec.sigma() * spec.sigma());
}

/// P (x) R
Matrix<double> kronecker(const Matrix<double>& P, const Matrix<double>& R) {
  Matrix<double> out(P.rows() * R.rows(), P.cols() * R.cols());
  for (Index i = 0; i < P.rows(); ++i)
    for (Index j = 0; j < P.cols(); ++j)
      out.block(i * R.rows(), j * R.cols(), R.rows(), R.cols()) = P(i, j) * R;
  return out;
}

/// K_Q: the block of tokens a and b is (x_a . x_b) sum_h G_ah G_bh^T.
Matrix<double> query_kernel(const AttentionFactors& f) {
  const Index o = f.spec.outputs, m = f.outputs();
  Matrix<double> K = Matrix<double>::Zero(m, m);
  for (const HeadFactors& h : f.heads) K.noalias() += h.G * h.G.transpose();
  const Matrix<double> XX = f.data->X * f.data->X.transpose();
  for (Index a = 0; a < XX.rows(); ++a)
    for (Index b = 0; b < XX.cols(); ++b) K.block(a * o, b * o, o, o) *= XX(a, b);
  return K;
}

/// K_K: the block of samples i and j is sum_h T_ih (X_i X_j^T (x) I_d) T_jh^T.
Matrix<double> key_kernel(const AttentionFactors& f) {
  const Index n = f.spec.tokens, d = f.spec.head_dim, rows = n * f.spec.outputs, N = f.data->samples;
  std::vector<std::vector<Matrix<double>>> T(f.heads.size());
  for (std::size_t h = 0; h < T.size(); ++h)
    for (Index i = 0; i < N; ++i) T[h].push_back(f.key_jacobian(i, static_cast<Index>(h)));
  Matrix<double> K = Matrix<double>::Zero(f.outputs(), f.outputs());
  parallel_for(N, [&](Index i, Index) {
    Matrix<double> mixed(rows, n * d);
    for (Index j = 0; j <= i; ++j) {
      const Matrix<double> XX = f.data->X.middleRows(i * n, n) * f.data->X.middleRows(j * n, n).transpose();
      auto block = K.block(i * rows, j * rows, rows, rows);
      for (const auto& of_head : T) {
        // Columns of T are (key, dimension): X_i X_j^T mixes the keys.
        for (Index r = 0; r < rows; ++r)
          Eigen::Map<Matrix<double>>(mixed.row(r).data(), n, d).noalias() =
              XX.transpose() * ConstMap(of_head[i].row(r).data(), n, d);
        block.noalias() += mixed * of_head[j].transpose();
      }
    }
  });
  K.triangularView<Eigen::StrictlyUpper>() = K.transpose();
  return K;
}

}  // namespace

Matrix<double> AttentionFactors::key_jacobian(Index i, Index h) const {
  const HeadFactors& f = heads[h];
  const Index n = spec.tokens, d = spec.head_dim, o = spec.outputs;
  const double scale =
      spec.kernel == KernelKind::softmax ? std::sqrt(static_cast<double>(d)) : spec.sigma() * spec.sigma();
  Matrix<double> T(n * o, n * d);
  for (Index k = 0; k < n; ++k) {
    const auto q = f.Q.row(i * n + k);
    const Vector<double> s = f.S.row(i * n + k);
    const bool softmax = spec.kernel == KernelKind::softmax;
    const Matrix<double> V = softmax ? centred(s, f.V.middleRows(i * n, n)) : f.V.middleRows(i * n, n);
    for (Index l = 0; l < n; ++l) {
      auto block = T.block(k * o, l * d, o, d);
      if (softmax)
        block = (s[l] / scale) * V.row(l).transpose() * q;
      else
        block = (s[l] / scale) * V.row(l).transpose() * (q - f.K.row(i * n + l));
    }
  }
  return T;
}

AttentionFactors attention_factors(const ModelPoint<double>& point, Vector<double> log_scale) {
  const AttentionView view(point, "the kernel made of factors");
  const AttentionSpec& spec = view.spec();
  const Index D = spec.embedding, d = spec.head_dim, n = spec.tokens, o = spec.outputs;
  const Matrix<double>& X = view.data().X;
  AttentionFactors f = {spec, point.data, std::vector<HeadFactors>(spec.heads), std::move(log_scale)};
  for (Index h = 0; h < spec.heads; ++h) {
    HeadFactors& at = f.heads[h];
    at.W_O = view.W_O(h);
    const auto zero = [](const auto& W) { return (W.array() == 0).all(); };
    at.zero = {zero(view.W_Q(h)), zero(view.W_K(h)), zero(view.W_V(h)), zero(at.W_O)};
    at.Q = X * view.W_Q(h);
    at.K = X * view.W_K(h);
    const Matrix<double> U = X * view.W_V(h);
    at.V = U * at.W_O;
    at.S.resize(X.rows(), n);
    at.A.resize(X.rows(), d);
    at.B.resize(X.rows(), D);
    at.G.resize(X.rows() * o, d);
    parallel_for(view.data().samples, [&](Index i, Index) {
      const auto K = at.K.middleRows(i * n, n), V = at.V.middleRows(i * n, n);
      const Vector<double> shift =
          f.log_scale.size() > 0 ? Vector<double>(f.log_scale.segment(i * n, n)) : Vector<double>::Zero(n);
      const Matrix<double> S = attention(spec, at.Q.middleRows(i * n, n), K, shift);
      at.S.middleRows(i * n, n) = S;
      at.A.middleRows(i * n, n).noalias() = S * U.middleRows(i * n, n);
      at.B.middleRows(i * n, n).noalias() = S * X.middleRows(i * n, n);
      for (Index k = 0; k < n; ++k)
        at.G.middleRows((i * n + k) * o, o) = query_jacobian(spec, S.row(k), at.Q.row(i * n + k), K, V);
    });
    if (!at.S.allFinite() || !at.A.allFinite() || !at.G.allFinite())
      throw WorkError("attention is not finite: the weights or inputs are too large for this arithmetic");
  }
  return f;
}

namespace {

// Weights below e^kTiny are about to underflow, at the latest when they are squared.
constexpr double kTiny = -200;

/// log of the largest weight of each token, over all heads; empty where none is tiny.
Vector<double> tiny_weights(const AttentionFactors& f) {
  if (f.spec.kernel != KernelKind::gaussian) return {};
  const Index n = f.spec.tokens;
  Vector<double> largest = Vector<double>::Constant(f.tokens(), -std::numeric_limits<double>::infinity());
  for (const HeadFactors& h : f.heads)
    for (Index a = 0; a < f.tokens(); ++a)
      for (Index l = a - a % n; l < a - a % n + n; ++l)
        largest[a] = std::max(largest[a], exponent(h.Q.row(a), h.K.row(l), f.spec.sigma()));
  return largest.minCoeff() < kTiny ? largest : Vector<double>();
}

MeasuredFactors measured_factors(const ModelPoint<double>& point, const Vector<double>& log_scale) {
  MeasuredFactors f = {attention_factors(point, log_scale), {}};
  const std::uint64_t count = perturbations(point.output_size() * point.weights.size());
  for (std::uint64_t index = 0; index < count; ++index)
    f.perturbed.push_back(attention_factors(point.perturbed(index), log_scale));
  return f;
}

}  // namespace

MeasuredFactors measured_factors(const ModelPoint<double>& point) {
  MeasuredFactors f = measured_factors(point, {});
  if (const Vector<double> log_scale = tiny_weights(f.factors); log_scale.size() > 0)
    f.scaled = std::make_shared<MeasuredFactors>(measured_factors(point, log_scale));
  return f;
}

double measured_factors_bytes(const AttentionSpec& spec, Index samples) {
  const auto [n, D, H, d, o] =
      std::array{spec.tokens, spec.embedding, spec.heads, spec.head_dim, spec.outputs};
  const Index weights = H * d * (3 * D + o), per_token = H * (n + 3 * d + D + o + o * d) + D + o;
  const double scaled = spec.kernel == KernelKind::gaussian ? 2 : 1;
  const auto points = scaled * static_cast<double>(1 + perturbations(samples * n * o * weights));
  return 8 * points * static_cast<double>(samples * n * per_token + weights);
}

std::vector<AttentionBlock> blocks_named(const std::vector<std::string>& names) {
  const auto all = attention_blocks();
  std::vector<AttentionBlock> blocks;
  for (const std::string& name : names) {
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) throw InputError("unknown block '" + name + "'");
    blocks.push_back(static_cast<AttentionBlock>(found - all.begin()));
  }
  return blocks;
}

Matrix<double> output_factor(const AttentionFactors& f) {
  Matrix<double> A(f.tokens(), f.spec.heads * f.spec.head_dim);
  for (Index h = 0; h < f.spec.heads; ++h) A.middleCols(h * f.spec.head_dim, f.spec.head_dim) = f.heads[h].A;
  return A;
}

Matrix<double> value_factor(const AttentionFactors& f) {
  Matrix<double> B(f.tokens(), f.spec.heads * f.spec.embedding);
  for (Index h = 0; h < f.spec.heads; ++h)
    B.middleCols(h * f.spec.embedding, f.spec.embedding) = f.heads[h].B;
  return B;
}

Matrix<double> block_kernel(const AttentionFactors& f, const std::string& block) {
  switch (blocks_named({block})[0]) {
    case kQ:
      return query_kernel(f);
    case kK:
      return key_kernel(f);
    case kV: {
      Matrix<double> K = Matrix<double>::Zero(f.outputs(), f.outputs());
      for (const HeadFactors& h : f.heads) K += kronecker(h.B * h.B.transpose(), h.W_O.transpose() * h.W_O);
      return K;
    }
    default: {
      const Matrix<double> A = output_factor(f);
      return kronecker(A * A.transpose(), Matrix<double>::Identity(f.spec.outputs, f.spec.outputs));
    }
  }
}

}  // namespace basin
