/// Operators whose products somebody else computes: how far they are from linear and symmetric.
#pragma once

#include <cstdint>

#include "basin/linalg/linear_operator.h"

namespace basin {

/// Root mean squares over products with standard normal vectors x, whose length |A x| is about |A|_F. What
/// errors repeat and are symmetric, those of float32 kernels say, no such comparison sees.
struct OperatorNoise {
  double scale = 0;         ///< |A x|
  double asymmetry = 0;     ///< about |A - A^T|_F / 2, from x . A y and y . A x
  double spread = 0;        ///< |A x - A x|, the product taken twice
  double rounding = 0;      ///< |A (c x) / c - A x|, c no power of two
  double nonlinearity = 0;  ///< |A (x + y) - A x - A y|
  /// All of it.
  double total() const;
};

/// The products of A in the evaluation that is farthest from the first one, of those that would agree for an
/// operator that is linear and symmetric and does not round; for EigenOptions::perturbed. Of unit vectors v
/// these are: A v once more, A (c v) / c, A (v + w) - A w, w random, and besides as far off, in a direction
/// orthogonal to v, as |(A - A^T) v| / 2 is by products with random vectors.
/// Takes 3 products for each. A view: A must outlive it.
class ReevaluatedOperator final : public SelfAdjointOperator {
 public:
  /// Multiplies A with 4 x 8 random vectors, of which 8 and their products are kept.
  explicit ReevaluatedOperator(const SelfAdjointOperator& A, std::uint64_t seed = 0);

  const OperatorNoise& noise() const { return noise_; }

 private:
  /// Three more evaluations of A V: the second rounds differently, the third is a difference.
  struct Evaluations {
    Vectors<double> again, scaled, shifted;
  };
  Evaluations evaluate(ConstVectorsRef<double> V) const;
  /// w, of the length of v, and the random vector that it is a multiple of.
  double shift_length(ConstVectorsRef<double> V, Index j) const;
  Index probe(Index j) const { return j % Y_.cols(); }
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;

  const SelfAdjointOperator& A_;
  Vectors<double> Y_, AY_;
  OperatorNoise noise_;
};

}  // namespace basin
