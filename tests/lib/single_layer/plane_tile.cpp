#include "basin/single_layer/plane_tile.h"

#include <catch2/catch.hpp>

#include "basin/single_layer/attention_view.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// What a tile computes at one point, by the definition of the layer.
struct Witness {
  double loss = 0, scores = 0;  ///< the largest score, absolute
};

/// Of queries first, ..., first + rows - 1 of one sample.
Witness by_definition(const ModelPoint<double>& point, Index sample, Index first, Index rows) {
  const AttentionView at(point);
  const AttentionSpec& spec = at.spec();
  const Index n = spec.tokens;
  const Matrix<double> X = at.data().X.middleRows(sample * n, n);
  Matrix<double> F = -at.data().Y.middleRows(sample * n + first, rows);
  Witness result;
  for (Index h = 0; h < spec.heads; ++h) {
    const Matrix<double> Q = X * at.W_Q(h), K = X * at.W_K(h), U = X * at.W_V(h), V = U * at.W_O(h);
    for (Index k = 0; k < rows; ++k) {
      std::vector<double> s(n);
      for (Index l = 0; l < n; ++l) {
        for (Index i = 0; i < spec.head_dim; ++i) {
          const double q = Q(first + k, i), key = K(l, i);
          s[l] += at.softmax() ? q * key / std::sqrt(static_cast<double>(spec.head_dim))
                               : -(q - key) * (q - key) / (2 * spec.sigma() * spec.sigma());
        }
        result.scores = std::max(result.scores, std::abs(s[l]));
      }
      const double top = at.softmax() ? *std::max_element(s.begin(), s.end()) : 0;
      double sum = 0;
      for (double& x : s) sum += x = std::exp(x - top);
      for (Index l = 0; l < n; ++l)
        for (Index o = 0; o < spec.outputs; ++o) F(k, o) += s[l] / (at.softmax() ? sum : 1) * V(l, o);
    }
  }
  for (Index i = 0; i < F.size(); ++i) result.loss += F.data()[i] * F.data()[i] / 2;
  return result;
}

/// A plane through a point, and the losses of tiles of it.
struct TiledPlane {
  TiledPlane(const Case& c, double extent, Index x_count = 31)
      : point(make_instance(c)), x{-0.7 * extent, extent, x_count}, tile(c.spec()) {
    turn(c.trainable, extent);
  }
  /// The same plane, but for what moves on it.
  void turn(const std::vector<std::string>& trainable, double extent) {
    point.model = build_single_attention<double>(tile_spec(), trainable);
    u = random_vectors(point.theta_size(), 1, 3), v = random_vectors(point.theta_size(), 1, 4);
    x = {-0.7 * extent, extent, x.count};
    project();
  }
  void project() {
    weights.emplace(point, u, v);
    sample.compute(*weights, point.data->X.bottomRows(weights->spec.tokens));
  }
  AttentionSpec tile_spec() const { return *single_attention(point.model->architecture()); }

  /// Holds the losses of these queries of the last sample, on this piece, to the definition.
  void check(Index first, Index rows, Index at, Index count, double b) {
    const Index last = point.data->samples - 1, n = sample.keys[0].rows();
    const PlanePiece piece = {x, at, count, b};
    const Matrix<double> Y = point.data->Y.middleRows(last * n + first, rows);
    std::vector<double> losses(count, 1.5);  // what was there is added to
    tile.prepare(sample, first, rows, x.step());
    tile.losses(piece, Y, losses.data());
    for (Index j = 0; j < count; ++j) {
      const Vector<double> theta = point.theta() + piece.a(j) * u + b * v;
      const Witness expected = by_definition(point.at(theta), last, first, rows);
      CAPTURE(first, rows, j, expected.scores);
      // Scores, and so the exponents of the recurrence, are known to eps of their size.
      const double size = std::max(expected.loss, Y.squaredNorm() / 2);
      CHECK(std::abs(losses[j] - 1.5 - expected.loss) <= 1e-13 * (10 + expected.scores) * size);
    }
  }

  ModelPoint<double> point;
  Axis x;
  PlaneTile tile;
  Vector<double> u, v;
  std::optional<PlaneWeights> weights;
  PlaneProjections sample;
};

}  // namespace

TEST_CASE("each tile of a sample adds the losses of its own queries, against several blocks of keys") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Index outputs = GENERATE(3, 17), n = 53;
  const Case c = {"tile", 2, n, 5, 2, 3, outputs, kind};
  CAPTURE(describe(c));
  const Index most = PlaneTile::most_queries(c.spec());
  TiledPlane plane(c, 0.3);
  for (Index first = 0; first < n; first += most) plane.check(first, std::min(most, n - first), 4, 3, -0.2);
  plane.check(most - 8, 3, 0, 2, 0.1);  // no more than three of its queries
}

TEST_CASE("whatever moves on the plane, and whatever the tile was used for before") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"tile", 1, 9, 4, 2, 3, 2, kind};
  TiledPlane plane(c, 0.5);
  // From all to few and back: what was there before must not be seen.
  auto sets = all_trainable_sets();
  std::reverse(sets.begin(), sets.end());
  sets.push_back(attention_blocks());
  for (const auto& set : sets)
    for (const double extent : {0.5, 30.0}) {  // by the recurrence, and by scores
      INFO(kernel_name(kind) << ", " << set.size() << " blocks from " << set.front() << ", extent "
                             << extent);
      plane.turn(set, extent);
      plane.check(0, 9, 25, 4, 0.4 * extent);
    }
}

TEST_CASE("pieces of any length, as far out as scores are beyond the exponents of the recurrence") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"tile", 1, 6, 3, 2, 2, 2, kind};
  for (const double extent : {1e-3, 1.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 1e3, 1e5}) {
    INFO(describe(c) << ", extent " << extent);
    TiledPlane plane(c, extent, 41);
    plane.check(0, 6, 0, 20, 0.5 * extent);
    plane.check(0, 6, 40, 1, -extent);
    plane.check(0, 6, 19, 2, 0);
    TiledPlane single(c, extent, 1);  // no step
    single.check(0, 6, 0, 1, extent);
  }
  // One head with scores that are small, one with large ones.
  TiledPlane mixed(c, 0.1);
  mixed.point.weights.segment(6, 6) *= 1e4;  // W_Q of the second
  mixed.turn(c.trainable, 0.1);
  mixed.check(0, 6, 10, 5, 0.05);
}

TEST_CASE(
    "scores that grow to what exponentials cannot hold, or come back from there, one score after the other") {
  // Two tokens +-1, queries a and -a, keys 1 and -1: softmax has the scores +-a, a Gaussian kernel
  // -(a +- 1)^2 / 2.
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"two tokens", 1, 2, 1, 1, 1, 1, kind};
  c.trainable = {"W_Q"};
  for (const double extent : {16.0, 24.0, 40.0, 47.0, 290.0, 310.0, 690.0, 800.0, 1100.0, 2000.0})
    for (const double end : {0.0, extent}) {
      INFO(kernel_name(kind) << ", from " << end - extent << " to " << end);
      TiledPlane plane(c, extent);
      auto data = std::make_shared<Data<double>>(*plane.point.data);
      data->X << 1, -1;
      plane.point.data = data;
      plane.point.weights << 0, 1, 1, 1;
      plane.u << 1;
      plane.v << 0;
      plane.x = {end - extent, end, 20};
      plane.project();
      plane.check(0, 2, 0, 20, 1);
    }
}

TEST_CASE("a single token, and sizes of one") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : {Case{"one token", 2, 1, 3, 2, 2, 2, kind}, Case{"all ones", 1, 1, 1, 1, 1, 1, kind}})
    for (const double extent : {0.5, 50.0}) {
      INFO(describe(c));
      TiledPlane plane(c, extent);
      plane.check(0, 1, 3, 7, 0.3 * extent);
    }
}

TEST_CASE("where all weights of a Gaussian kernel vanish the loss is that of the targets") {
  const Case c = {"tile", 1, 11, 3, 1, 2, 2, KernelKind::gaussian, 1e-9};
  TiledPlane plane(c, 1);
  std::vector<double> losses(3, 0);
  plane.tile.prepare(plane.sample, 0, 11, plane.x.step());
  plane.tile.losses({plane.x, 0, 3, 0.5}, plane.point.data->Y, losses.data());
  for (const double loss : losses)
    CHECK(loss == Approx(plane.point.data->Y.squaredNorm() / 2).epsilon(1e-14));
}
