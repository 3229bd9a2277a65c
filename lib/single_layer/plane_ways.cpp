#include "basin/single_layer/plane_ways.h"

#include <algorithm>
#include <string>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/simd.h"
#include "basin/linalg/tree_sum.h"
#include "basin/model/linearization.h"
#include "basin/single_layer/attention_view.h"
#include "basin/single_layer/plane_tile.h"

namespace basin {
namespace {

/// Operations of a point and, for the structured way, of what is done once for many.
struct Cost {
  double point, once;
};

constexpr double kExponential = 20;  // operations of one, about

Cost plain_cost(const AttentionSpec& s) {
  const auto n = static_cast<double>(s.tokens), D = static_cast<double>(s.embedding);
  const auto d = static_cast<double>(s.head_dim), e = static_cast<double>(s.outputs);
  const double factored = 2 * n * D * 3 * d + 4 * n * n * d + 2 * n * d * e;
  const double multiplied = 2 * n * D * (2 * d + e) + 2 * n * n * (d + e);
  return {std::min(factored, multiplied) + kExponential * n * n, 0};
}

Cost structured_cost(const AttentionSpec& s) {
  const auto n = static_cast<double>(s.tokens), D = static_cast<double>(s.embedding);
  const auto d = static_cast<double>(s.head_dim), e = static_cast<double>(padded<double>(s.outputs));
  const double exponentials = 2 * kExponential / static_cast<double>(kLongestPiece);
  const double tiles = n / static_cast<double>(std::min(s.tokens, PlaneTile::most_queries(s)));
  return {2 * n * n * e + (4 + exponentials) * n * n + 4 * tiles * n * e,
          12 * n * D * (d + e) + 18 * n * n * d};
}

/// Projections and scores are polynomials in the steps, their coefficients computed once.
class StructuredPlane final : public PlaneLoss {
 public:
  StructuredPlane(const ModelPoint<double>& at, const Vector<double>& u, const Vector<double>& v,
                  const Grid& grid, std::size_t memory)
      : PlaneLoss(at, u, v, grid), plane_(at, u, v) {
    const AttentionSpec& spec = plane_.spec;
    const Index samples = at.data->samples;
    if (projection_bytes(spec) * static_cast<double>(samples) > static_cast<double>(memory)) return;
    projections_.resize(samples);
    parallel_for(samples, [&](Index i, Index) {
      projections_[i].compute(plane_, at.data->X.middleRows(i * spec.tokens, spec.tokens));
    });
  }
  std::string way() const override { return "structured"; }
  Vector<double> losses(std::span<const Index> pieces, const Progress& progress) override;
  /// As many as make what is done once for them a twentieth of the work.
  Index pieces_at_once() const override {
    const Cost cost = structured_cost(plane_.spec);
    const auto length = static_cast<double>(pieces().front().count);
    const double enough = 20 * cost.once / cost.point / length;
    return std::clamp(static_cast<Index>(enough), Index{1}, static_cast<Index>(pieces().size()));
  }

 private:
  PlaneWeights plane_;
  std::vector<PlaneProjections> projections_;  // of all samples, if there is room
};

/// Sums over samples and blocks of queries.
Vector<double> StructuredPlane::losses(std::span<const Index> pieces, const Progress& progress) {
  const AttentionSpec& spec = plane_.spec;
  const Data<double>& data = *point().data;
  const Index n = spec.tokens, lanes = padded<double>(n);
  const Index most = PlaneTile::most_queries(spec), blocks = (lanes + most - 1) / most;
  const Index packs = (lanes / kLanes<double> + blocks - 1) / blocks, rows = packs * kLanes<double>;
  const Index per_sample = (n + rows - 1) / rows;
  struct Memory {
    explicit Memory(const AttentionSpec& of) : tile(of) {}
    PlaneTile tile;
    PlaneProjections projections;
    Index sample = -1;  // of the projections
  };
  std::vector<Memory> memory(thread_slots(), Memory(spec));
  const Index count = points(pieces);
  return TreeSum<double>()(
      data.samples * per_sample, count, 1,
      [&](Index unit, Index slot, VectorsRef<double> losses) {
        Memory& mine = memory[slot];
        const Index i = unit / per_sample, first = unit % per_sample * rows, here = std::min(rows, n - first);
        if (projections_.empty() && mine.sample != i) {
          mine.projections.compute(plane_, data.X.middleRows(i * n, n));
          mine.sample = i;
        }
        const double step = grid().x.step();
        mine.tile.prepare(projections_.empty() ? mine.projections : projections_[i], first, here, step);
        Index at = 0;
        for (const Index p : pieces) {
          const Piece& piece = this->pieces()[p];
          mine.tile.losses({grid().x, piece.first, piece.count, grid().y.at(piece.row)},
                           data.Y.middleRows(i * n + first, here), losses.data() + at);
          at += piece.count;
        }
      },
      progress);
}

/// F = sum of F_c m_c, from outputs at nine choices of W_V and W_O: each is linear in both. Then
/// |F - Y|^2 = |B m|^2 = |R m|^2 with B = [F_1 - Y, F_a, ...] = Q R, which keeps the digits of small losses.
Vectors<double> polynomial_triangle(const ModelPoint<double>& point, const Vector<double>& u,
                                    const Vector<double>& v) {
  const AttentionView view(point);
  const std::array parts = {view.of_weights(point.weights), view.of_theta(u), view.of_theta(v)};
  const auto set = [&](AttentionBlock b, int part, Vector<double>& weights) {
    if (!parts[part].has(b)) return false;
    for (Index h = 0; h < view.spec().heads; ++h) view.of_weights(weights)(b, 0, h) = parts[part](b, 0, h);
    return true;
  };
  const Matrix<double>& Y = point.data->Y;
  Vectors<double> B = Vectors<double>::Zero(Y.size(), kMonomials);
  B.col(0) = -Eigen::Map<const Vector<double>>(Y.data(), Y.size());
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      Vector<double> weights = point.weights;
      if (!set(kV, i, weights) || !set(kO, j, weights)) continue;
      const Linearization<double> at = point.at_weights(std::move(weights)).linearize({.keep = false});
      B.col(static_cast<Index>(kProduct[i][j])) +=
          Eigen::Map<const Vector<double>>(at.outputs().data(), at.outputs().size());
    }
  return triangular_factor(B);
}

/// Only W_V or W_O moves: outputs are polynomials, and the loss one of degree four.
class PolynomialPlane final : public PlaneLoss {
 public:
  PolynomialPlane(const ModelPoint<double>& at, const Vector<double>& u, const Vector<double>& v,
                  const Grid& grid)
      : PlaneLoss(at, u, v, grid), triangle_(polynomial_triangle(at, u, v)) {}
  std::string way() const override { return "polynomial"; }
  Vector<double> losses(std::span<const Index> pieces, const Progress& /*progress*/) override {
    Vector<double> losses(points(pieces));
    for_points(pieces, [&](Index i, double a, double b) {
      const auto m = monomials(a, b);
      losses[i] = (triangle_ * Eigen::Map<const Vector<double>>(m.data(), kMonomials)).squaredNorm() / 2;
    });
    return losses;
  }

 private:
  Vectors<double> triangle_;  // f = |R m|^2 / 2, m the monomials
};

PlaneWay choose(const ModelPoint<double>& point, const Grid& grid, const PlaneOptions& options) {
  if (options.way == PlaneWay::plain || (options.way == PlaneWay::automatic && !is_single_attention(point)))
    return PlaneWay::plain;
  const AttentionView at(point, "the structure of a plane");
  const AttentionSpec& spec = at.spec();
  const bool polynomial = !at.trains(kQ) && !at.trains(kK);
  if (options.way == PlaneWay::polynomial && !polynomial)
    throw InputError("losses are no polynomial on this plane: W_Q or W_K is trained");
  if (options.way != PlaneWay::automatic) return options.way;
  const Cost structured = structured_cost(spec), plain = plain_cost(spec);
  const auto points = static_cast<double>(grid.size());
  if (polynomial && points > 27) return PlaneWay::polynomial;  // nine outputs, each with a gradient
  const bool room = PlaneTile::bytes(spec) + projection_bytes(spec) <= static_cast<double>(options.memory);
  return room && structured.once + points * structured.point < points * plain.point ? PlaneWay::structured
                                                                                    : PlaneWay::plain;
}

}  // namespace

std::unique_ptr<PlaneLoss> plane_loss(const ModelPoint<double>& point, const Vector<double>& u,
                                      const Vector<double>& v, const Grid& grid,
                                      const PlaneOptions& options) {
  switch (choose(point, grid, options)) {
    case PlaneWay::structured:
      return std::make_unique<StructuredPlane>(point, u, v, grid, options.memory);
    case PlaneWay::polynomial:
      return std::make_unique<PolynomialPlane>(point, u, v, grid);
    default:
      return std::make_unique<PlainPlane>(point, u, v, grid, options.memory, options.accuracy);
  }
}

}  // namespace basin
