/// Some queries of one sample, against all keys, at many points of a plane (MATHEMATICS.md).
#pragma once

#include "basin/landscape/grid.h"
#include "basin/linalg/product.h"
#include "basin/single_layer/plane_projections.h"

namespace basin {

/// A piece of a row as a tile sees it: the points (x.at(first + j), b), j < count.
struct PlanePiece {
  Axis x;
  Index first, count;
  double b;
  double a(Index j) const { return x.at(first + j); }
};

/// Queries first, ..., first + rows - 1 of a sample and all heads. `prepare` makes the coefficients of their
/// scores once; `losses` then needs neither weights nor projections of queries and keys.
///
/// Along a piece no exponential is taken but at its beginning: with scores s + j r + j^2 c,
///
///     E_j = exp(score) :   E_{j+1} = E_j R_j,   R_{j+1} = R_j C,   C = exp(2 c)
///
/// where the coefficients are so small that nothing can over- or underflow; elsewhere scores and exponentials
/// are computed at each point, as the model does.
class PlaneTile {
 public:
  /// The coefficients of scores are largest allowed for the recurrence: exp(+-300) and what a piece makes of
  /// it are far from the ends of the range, and exponents are off by no more than some 300 eps.
  static constexpr double kLargestExponent = 300;

  /// Queries in a tile, at most: few, so that E, R and C of a block of keys stay in the first-level cache;
  /// more where V, which a tile evaluates at every point, is wide.
  static Index most_queries(const AttentionSpec& spec) { return spec.outputs < 16 ? 24 : 48; }

  explicit PlaneTile(const AttentionSpec& spec) : spec_(spec) {}

  /// step: of all pieces to come. `sample` must outlive their losses.
  void prepare(const PlaneProjections& sample, Index first, Index rows, double step);

  /// losses[j] += |F - Y|^2 / 2 over these queries at point j of the piece.  targets: rows x D_out.
  void losses(const PlanePiece& piece, ConstMatrixRef<double> targets, double* losses);

  /// Bytes of working memory.
  static double bytes(const AttentionSpec& spec);

 private:
  Index keys() const { return spec_.tokens; }
  bool softmax() const { return spec_.kernel == KernelKind::softmax; }
  Tile<double> score(std::size_t c, Index h, Index first, Index count);
  void score_coefficients(Index h);
  bool small(const PlanePiece& piece, Index h) const;
  void value_along(double b, Index h, Index first, Index count);
  Tile<const double> value_at(double a, Index h, Index first, Index count);
  void add_output(Index j, Index h, Index first, Index count, double a, Tile<const double> weights);
  void head_by_recurrence(const PlanePiece& piece, Index h);
  void head_by_scores(const PlanePiece& piece, Index h);
  void finish_head(Index count, bool first_head);

  AttentionSpec spec_;
  const PlaneProjections* sample_ = nullptr;
  Index first_ = 0, rows_ = 0, lanes_ = 0;
  std::array<bool, kMonomials> has_ = {};         // which coefficients of scores are there
  std::array<Batch<double>, kMonomials> scores_;  // (H, n, lanes)
  Batch<double> growth_;                          // C: the same
  Matrix<double> largest_;                        // H x 6: of the coefficients, absolute
  Batch<double> e_, r_;                           // a block of keys: E and R
  std::array<Batch<double>, 3> values_;           // a block of keys, in a row: V = V_0 + a V_1 + a^2 V_2
  Batch<double> v_;                               // V at a point
  Batch<double> sums_, head_, outputs_;           // (count, ...): row sums; S V of a head; F, transposed
  Batch<double> queries_at_, keys_at_, all_;      // at a point, for head_by_scores
  Batch<double> targets_t_;
};

}  // namespace basin
