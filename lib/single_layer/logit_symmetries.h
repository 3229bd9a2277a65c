/// Symmetries of attention scores that hang on the data: with few samples each has a gauge of its own.
#pragma once

#include <optional>

#include "basin/model/attention_model.h"

namespace basin {

/// The query-key weights of one head; a block that is not trained does not move.
struct ScoreWeights {
  Matrix<double> W_Q, W_K;  ///< D x d
  bool trains_Q, trains_K;
};

/// An orthonormal basis of the directions (dW_Q, dW_K) of one head, trained ones only, each D x d column
/// after column, that leave all scores as they are to first order: q_k . k_l up to a constant for each query
/// for softmax, |q_k - k_l| for the Gaussian kernel (theory: ker D Psi; singular values up to 1e-9 of the
/// largest count as zero). Nothing when there are no more than the `known` ones; when the rank of that map is
/// not the same at weights nearby, so that its kernel is no tangent of a symmetry; and when it would take
/// more than about 2e10 operations.
std::optional<Vectors<double>> score_symmetries(KernelKind kernel, const ScoreWeights& weights,
                                                const Matrix<double>& X, Index tokens, Index known);

/// Whether the first few samples, about as many as it has columns, already show that there are no more than
/// the `known` ones: the usual case with many samples, in which the others need not be factorised.
bool few_samples_suffice(KernelKind kernel, const ScoreWeights& weights, const Matrix<double>& X,
                         Index tokens, Index known);

/// The rank of that map, for tests and reports.
Index score_rank(KernelKind kernel, const ScoreWeights& weights, const Matrix<double>& X, Index tokens);

}  // namespace basin
