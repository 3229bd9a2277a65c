#include "basin/single_layer/logit_symmetries.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/random.h"

namespace basin {
namespace {

constexpr double kNegligible = 1e-9, kMostOperations = 2e10;

/// dest (D d numbers) = factor x c^T, column after column.
template <class Dest, class Row, class Cols>
void outer(Dest dest, const Row& x, const Cols& c) {
  const Index D = x.size();
  for (Index b = 0; b < c.size(); ++b) dest.segment(b * D, D) = c[b] * x;
}

/// The rows of the derivative of the scores of one sample in (dW_Q, dW_K): n^2 x columns.
Vectors<double> score_rows(KernelKind kernel, const ScoreWeights& w, const Matrix<double>& X) {
  const Index n = X.rows(), size = w.W_Q.size(), at_K = w.trains_Q ? size : 0;
  const Matrix<double> Q = X * w.W_Q, K = X * w.W_K;
  const Eigen::RowVectorXd mean = X.colwise().mean(), mean_key = K.colwise().mean();
  Vectors<double> transposed((w.trains_Q ? size : 0) + (w.trains_K ? size : 0), n * n);
  for (Index k = 0; k < n; ++k)
    for (Index l = 0; l < n; ++l) {
      auto row = transposed.col(k * n + l);
      if (kernel == KernelKind::softmax) {
        if (w.trains_Q) outer(row.head(size), X.row(k), Eigen::RowVectorXd(K.row(l) - mean_key));
        if (w.trains_K) outer(row.segment(at_K, size), Eigen::RowVectorXd(X.row(l) - mean), Q.row(k));
      } else {
        const Eigen::RowVectorXd difference = Q.row(k) - K.row(l);
        if (w.trains_Q) outer(row.head(size), X.row(k), difference);
        if (w.trains_K) outer(row.segment(at_K, size), X.row(l), Eigen::RowVectorXd(-difference));
      }
    }
  return transposed.transpose();
}

/// The triangular factor of that derivative, all samples: it has the same singular values and right vectors.
Vectors<double> factor(KernelKind kernel, const ScoreWeights& w, const Matrix<double>& X, Index tokens) {
  Vectors<double> R;
  for (Index first = 0; first < X.rows(); first += tokens) {
    const Vectors<double> rows = score_rows(kernel, w, X.middleRows(first, tokens));
    Vectors<double> both(R.rows() + rows.rows(), rows.cols());
    if (R.rows() > 0) both.topRows(R.rows()) = R;
    both.bottomRows(rows.rows()) = rows;
    if (both.rows() > 2 * both.cols() || first + tokens >= X.rows())
      R = triangular_factor(both);
    else
      R = std::move(both);
  }
  return R;
}

Index rank_of(const Vector<double>& values) {
  Index rank = 0;
  while (rank < values.size() && values[rank] > kNegligible * values[0]) ++rank;
  return rank;
}

/// |derivative of the scores|, all samples, in Frobenius norm.
double derivative_norm(KernelKind kernel, const ScoreWeights& w, const Matrix<double>& X, Index tokens) {
  double square = 0;
  for (Index first = 0; first < X.rows(); first += tokens)
    square += score_rows(kernel, w, X.middleRows(first, tokens)).squaredNorm();
  return std::sqrt(square);
}

}  // namespace

bool few_samples_suffice(KernelKind kernel, const ScoreWeights& weights, const Matrix<double>& X,
                         Index tokens, Index known) {
  const Index columns = weights.W_Q.size() * ((weights.trains_Q ? 1 : 0) + (weights.trains_K ? 1 : 0)),
              pairs = tokens * tokens, few = (2 * columns + pairs - 1) / pairs;
  if (4 * few > X.rows() / tokens) return false;  // hardly any work is saved
  // Singular values grow as rows are added, and the largest of all is at most the norm.
  const double negligible = kNegligible * derivative_norm(kernel, weights, X, tokens);
  const Vector<double> values = singular_values(factor(kernel, weights, X.topRows(few * tokens), tokens));
  return columns - (values.array() > negligible).count() <= known;
}

Index score_rank(KernelKind kernel, const ScoreWeights& weights, const Matrix<double>& X, Index tokens) {
  return rank_of(singular_values(factor(kernel, weights, X, tokens)));
}

std::optional<Vectors<double>> score_symmetries(KernelKind kernel, const ScoreWeights& weights,
                                                const Matrix<double>& X, Index tokens, Index known) {
  const double columns =
      static_cast<double>(weights.W_Q.size()) * ((weights.trains_Q ? 1 : 0) + (weights.trains_K ? 1 : 0));
  const double rows = static_cast<double>(X.rows() * tokens);
  if ((4 * rows + 20 * columns) * columns * columns > kMostOperations) return {};
  if (few_samples_suffice(kernel, weights, X, tokens, known)) return {};
  const Vectors<double> R = factor(kernel, weights, X, tokens);
  const Index rank = rank_of(singular_values(R));
  if (R.cols() - rank <= known) return {};  // the usual case, and vectors would take ten times as long
  ScoreWeights nearby = weights;
  Random random(0, "nearby");
  for (auto [trained, W] : {std::pair(weights.trains_Q, &nearby.W_Q), {weights.trains_K, &nearby.W_K}}) {
    if (!trained) continue;
    Matrix<double> noise(W->rows(), W->cols());
    random.fill_normal(noise);
    const double size = weights.W_Q.norm() + weights.W_K.norm();
    *W += (size > 0 ? 0.01 * size : 1) / noise.norm() *
          noise;  // ranks do not depend on the size of all weights
  }
  if (score_rank(kernel, nearby, X, tokens) != rank) return {};
  return singular_pairs(R).vectors.rightCols(R.cols() - rank);
}

}  // namespace basin
