#include "basin/spectrum/operator_noise.h"

#include <cmath>

#include "basin/linalg/random.h"
#include "basin/linalg/sums.h"
#include "basin/spectrum/assembled_matrix.h"

namespace basin {
namespace {

constexpr Index kProbes = 8;
constexpr double kFactor = 0.7;  // no power of two

double root_mean_square(const Vector<double>& values) {
  return values.stableNorm() / std::sqrt(static_cast<double>(values.size()));
}

}  // namespace

double OperatorNoise::total() const {
  return std::hypot(std::hypot(asymmetry, spread), std::hypot(rounding, nonlinearity));
}

ReevaluatedOperator::ReevaluatedOperator(const SelfAdjointOperator& A, std::uint64_t seed)
    : SelfAdjointOperator(A.rows()), A_(A), Y_(A.rows(), kProbes), AY_(A.rows(), kProbes) {
  Random(seed, "operator noise").fill_normal(Y_);
  A_.apply(Y_, AY_);
  noise_.scale = root_mean_square(column_norms(AY_));
  const Vectors<double> YtAY = gram(Y_, AY_);
  noise_.asymmetry =
      (YtAY - YtAY.transpose()).stableNorm() / 2 / std::sqrt(static_cast<double>(kProbes * (kProbes - 1)));
  const Evaluations other = evaluate(Y_);
  noise_.spread = root_mean_square(column_norms(other.again - AY_));
  noise_.rounding = root_mean_square(column_norms(other.scaled - AY_));
  noise_.nonlinearity = root_mean_square(column_norms(other.shifted - AY_));
}

double ReevaluatedOperator::shift_length(ConstVectorsRef<double> V, Index j) const {
  const double length = norm(Y_.col(probe(j + 1)));
  return length > 0 ? norm(V.col(j)) / length : 0;
}

ReevaluatedOperator::Evaluations ReevaluatedOperator::evaluate(ConstVectorsRef<double> V) const {
  Vectors<double> changed = V;
  Evaluations e = {Vectors<double>(V.rows(), V.cols()), Vectors<double>(V.rows(), V.cols()),
                   Vectors<double>(V.rows(), V.cols())};
  A_.apply(changed, e.again);
  changed *= kFactor;
  A_.apply(changed, e.scaled);
  e.scaled /= kFactor;
  for (Index j = 0; j < V.cols(); ++j) changed.col(j) = V.col(j) + shift_length(V, j) * Y_.col(probe(j + 1));
  A_.apply(changed, e.shifted);
  for (Index j = 0; j < V.cols(); ++j) e.shifted.col(j) -= shift_length(V, j) * AY_.col(probe(j + 1));
  return e;
}

void ReevaluatedOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  const Evaluations e = evaluate(V);
  const Vectors<double> VtAY = gram(V, AY_), YtAV = gram(Y_, e.again);
  for (Index j = 0; j < V.cols(); ++j) {
    const Vector<double> scaled = e.scaled.col(j) - e.again.col(j),
                         shifted = e.shifted.col(j) - e.again.col(j);
    out.col(j) = norm(shifted) > norm(scaled) ? e.shifted.col(j) : e.scaled.col(j);
    // y . A v - v . A y is 2 y . K v for K = (A - A^T) / 2, and its variance over y is 4 |K v|^2.
    const double asymmetry = root_mean_square((YtAV.col(j) - VtAY.row(j).transpose()) / 2);
    Vector<double> direction = Y_.col(probe(j));
    const double square = dot(V.col(j), V.col(j));
    if (square > 0) direction -= dot(V.col(j), direction) / square * V.col(j);
    const double length = norm(direction);
    if (length > 0) out.col(j) += asymmetry / length * direction;
  }
}

}  // namespace basin
