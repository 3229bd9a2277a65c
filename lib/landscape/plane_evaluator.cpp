#include "basin/landscape/plane_evaluator.h"

#include <algorithm>

#include "basin/landscape/plane_tile.h"
#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/simd.h"
#include "basin/linalg/tree_sum.h"
#include "basin/model/attention_view.h"
#include "basin/model/evaluator.h"
#include "basin/model/linearization.h"

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

}  // namespace

std::string plane_way_name(PlaneWay way) {
  switch (way) {
    case PlaneWay::plain:
      return "plain";
    case PlaneWay::structured:
      return "structured";
    case PlaneWay::polynomial:
      return "polynomial";
    default:
      return "automatic";
  }
}

PlaneEvaluator::PlaneEvaluator(const ModelPoint<double>& point, const Vector<double>& u,
                               const Vector<double>& v, const Grid& grid, const PlaneOptions& options)
    : point_(point), u_(u), v_(v), grid_(grid), pieces_(pieces_of(grid)) {
  const Index P = point_.theta_size();
  if (u.size() != P || v.size() != P)
    throw InputError("directions of length " + std::to_string(u.size()) + " and " + std::to_string(v.size()) +
                     "; expected " + std::to_string(P));
  way_ = choose(options);
  if (way_ == PlaneWay::polynomial) triangle_ = polynomial_triangle();
  if (way_ != PlaneWay::structured) return;
  plane_.emplace(point_, u_, v_);
  const AttentionSpec& spec = plane_->spec;
  const Index samples = point_.data->samples;
  if (projection_bytes(spec) * static_cast<double>(samples) > static_cast<double>(options.memory)) return;
  projections_.resize(samples);
  parallel_for(samples, [&](Index i, Index) {
    projections_[i].compute(*plane_, point_.data->X.middleRows(i * spec.tokens, spec.tokens));
  });
}

PlaneWay PlaneEvaluator::choose(const PlaneOptions& options) const {
  if (options.way == PlaneWay::plain || (options.way == PlaneWay::automatic && !is_single_attention(point_)))
    return PlaneWay::plain;
  const AttentionView at(point_, "the " + plane_way_name(options.way) + " way of a plane");
  const AttentionSpec& spec = at.spec();
  const bool polynomial = !at.trains(kQ) && !at.trains(kK);
  if (options.way == PlaneWay::polynomial && !polynomial)
    throw InputError("losses are no polynomial on this plane: W_Q or W_K is trained");
  if (options.way != PlaneWay::automatic) return options.way;
  const Cost structured = structured_cost(spec), plain = plain_cost(spec);
  const auto points = static_cast<double>(grid_.size());
  if (polynomial && points > 27) return PlaneWay::polynomial;  // nine outputs, each with a gradient
  const bool room = PlaneTile::bytes(spec) + projection_bytes(spec) <= static_cast<double>(options.memory);
  return room && structured.once + points * structured.point < points * plain.point ? PlaneWay::structured
                                                                                    : PlaneWay::plain;
}

Vector<double> PlaneEvaluator::weights_at(double a, double b) const {
  return point_.at(point_.theta() + a * u_ + b * v_).weights;
}

Index PlaneEvaluator::points(std::span<const Index> pieces) const {
  Index count = 0;
  for (const Index p : pieces) count += pieces_[p].count;
  return count;
}

/// Calls body(number, a, b) for the points of pieces, in order.
template <class Body>
void PlaneEvaluator::for_points(std::span<const Index> pieces, const Body& body) const {
  Index number = 0;
  for (const Index p : pieces)
    for (Index j = 0; j < pieces_[p].count; ++j)
      body(number++, grid_.x.at(pieces_[p].first + j), grid_.y.at(pieces_[p].row));
}

Index PlaneEvaluator::pieces_at_once() const {
  // Of the structured way: as many as make what is done once for them a twentieth of the work.
  if (way_ != PlaneWay::structured) return static_cast<Index>(pieces_.size());
  const Cost cost = structured_cost(plane_->spec);
  const auto length = static_cast<double>(pieces_.front().count);
  const double enough = 20 * cost.once / cost.point / length;
  return std::clamp(static_cast<Index>(enough), Index{1}, static_cast<Index>(pieces_.size()));
}

Vector<double> PlaneEvaluator::losses(std::span<const Index> pieces, const Progress& progress) {
  switch (way_) {
    case PlaneWay::structured:
      return structured(pieces, progress);
    case PlaneWay::polynomial:
      return polynomial(pieces);
    default:
      return plain(pieces, progress);
  }
}

Vector<double> PlaneEvaluator::plain(std::span<const Index> pieces, const Progress& progress) const {
  struct PlanePoint {
    double a, b;
  };
  std::vector<PlanePoint> points;
  for_points(pieces, [&](Index, double a, double b) { points.push_back({a, b}); });
  std::vector<LossEvaluator<double>> evaluators(thread_slots(), LossEvaluator<double>(point_));
  Vector<double> losses(static_cast<Index>(points.size()));
  parallel_for(
      losses.size(),
      [&](Index i, Index slot) { losses[i] = evaluators[slot](weights_at(points[i].a, points[i].b)); },
      progress);
  return losses;
}

/// Sums over samples and blocks of queries.
Vector<double> PlaneEvaluator::structured(std::span<const Index> pieces, const Progress& progress) {
  const AttentionSpec& spec = plane_->spec;
  const Data<double>& data = *point_.data;
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
          mine.projections.compute(*plane_, data.X.middleRows(i * n, n));
          mine.sample = i;
        }
        const double step = grid_.x.step();
        mine.tile.prepare(projections_.empty() ? mine.projections : projections_[i], first, here, step);
        Index at = 0;
        for (const Index p : pieces) {
          const Piece& piece = pieces_[p];
          mine.tile.losses({grid_.x, piece.first, piece.count, grid_.y.at(piece.row)},
                           data.Y.middleRows(i * n + first, here), losses.data() + at);
          at += piece.count;
        }
      },
      progress);
}

/// F = sum of F_c m_c, from outputs at nine choices of W_V and W_O: each is linear in both. Then
/// |F - Y|^2 = |B m|^2 = |R m|^2 with B = [F_1 - Y, F_a, ...] = Q R, which keeps the digits of small losses.
Vectors<double> PlaneEvaluator::polynomial_triangle() const {
  const AttentionView view(point_);
  const std::array parts = {view.of_weights(point_.weights), view.of_theta(u_), view.of_theta(v_)};
  const auto set = [&](AttentionBlock b, int part, Vector<double>& weights) {
    if (!parts[part].has(b)) return false;
    for (Index h = 0; h < view.spec().heads; ++h) view.of_weights(weights)(b, 0, h) = parts[part](b, 0, h);
    return true;
  };
  const Matrix<double>& Y = point_.data->Y;
  Vectors<double> B = Vectors<double>::Zero(Y.size(), kMonomials);
  B.col(0) = -Eigen::Map<const Vector<double>>(Y.data(), Y.size());
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      Vector<double> weights = point_.weights;
      if (!set(kV, i, weights) || !set(kO, j, weights)) continue;
      const Linearization<double> at = point_.at_weights(std::move(weights)).linearize({.memory = 0});
      B.col(static_cast<Index>(kProduct[i][j])) +=
          Eigen::Map<const Vector<double>>(at.outputs().data(), at.outputs().size());
    }
  return triangular_factor(B);
}

Vector<double> PlaneEvaluator::polynomial(std::span<const Index> pieces) const {
  Vector<double> losses(points(pieces));
  for_points(pieces, [&](Index i, double a, double b) {
    const auto m = monomials(a, b);
    losses[i] = (triangle_ * Eigen::Map<const Vector<double>>(m.data(), kMonomials)).squaredNorm() / 2;
  });
  return losses;
}

}  // namespace basin
