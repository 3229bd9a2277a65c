#include "basin/network/tiled_attention.h"

#include "basin/linalg/errors.h"
#include "basin/network/linear.h"
#include "basin/network/tile_kernels.h"
#include "support/check_layer.h"
#include "support/plain_attention.h"

using namespace basin;
using namespace basin::test;

namespace {

std::unique_ptr<const TileKernel<double>> kernel(KernelKind kind) {
  if (kind == KernelKind::softmax) return std::make_unique<SoftmaxTiles<double>>();
  return std::make_unique<GaussianTiles<double>>();
}

struct TiledProducts {
  Vector<double> gradient;
  Vectors<double> JV, JtU, GV, HV, Jt;
  double loss;
};

TiledProducts all_products(const Linearization<double>& at) {
  constexpr Index k = 2;
  const Index P = at.theta_size(), m = at.output_size();
  TiledProducts p = {at.gradient(),
                     Vectors<double>(m, k),
                     Vectors<double>(P, k),
                     Vectors<double>(P, k),
                     Vectors<double>(P, k),
                     at.jacobian_transposed(),
                     at.loss()};
  at.jvp(random_vectors(P, k, 5), p.JV);
  at.vjp(random_vectors(m, k, 6), p.JtU);
  at.gauss_newton(random_vectors(P, k, 5), p.GV);
  at.hessian(random_vectors(P, k, 5), p.HV);
  return p;
}

void check_against_plain(const Case& c) {
  CAPTURE(describe(c));
  const ModelPoint<double> tiled = make_instance(c);
  ModelPoint<double> plain = tiled;
  plain.model = make_plain_attention_model(c.spec(), c.trainable);
  const LinearizationOptions options = {.chunk_rows = 2 * c.n};
  const TiledProducts found = all_products(tiled.linearize(options)),
                      expected = all_products(plain.linearize(options));
  // Both are off by eps times the size of the scores (4 in these cases) times some dozens of operations.
  const auto close = [](const auto& a, const auto& b) { return (a - b).norm() <= 1e-12 * b.norm(); };
  CHECK(std::abs(found.loss - expected.loss) <= 1e-12 * expected.loss);
  CHECK(close(found.gradient, expected.gradient));
  CHECK(close(found.JV, expected.JV));
  CHECK(close(found.JtU, expected.JtU));
  CHECK(close(found.GV, expected.GV));
  CHECK(close(found.HV, expected.HV));
  CHECK(close(found.Jt, expected.Jt));
}

}  // namespace

TEST_CASE("tiled attention obeys the four rules for every set of blocks, with input moving and fixed") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const auto combine = GENERATE(Heads::summed, Heads::concatenated);
  const bool input_moves = GENERATE(true, false);
  const TiledAttention<double> layer({5, 3}, 2, 3, 4, combine, combine == Heads::summed ? 3 : 8, kernel(kind),
                                     ScoreRules::factored);
  for (unsigned mask = 0; mask < 7; ++mask) {
    std::vector<std::string> frozen;
    for (unsigned b = 0; b < 3; ++b)
      if (mask >> b & 1U) frozen.push_back(attention_blocks()[b]);
    CAPTURE(kernel_name(kind), combine == Heads::summed, input_moves, frozen);
    check_layer(layer, 2, input_moves, frozen);
  }
}

TEST_CASE("tiled attention obeys the four rules beyond one tile and one block of keys") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool input_moves = GENERATE(true, false);
  check_layer(TiledAttention<double>({101, 3}, 1, 2, 2, Heads::summed, 1, kernel(kind), ScoreRules::factored),
              1, input_moves, {});
}

TEST_CASE("tiled attention obeys the four rules with bilinear scores, for a fixed input") {
  const auto softmax = [] { return kernel(KernelKind::softmax); };
  // D = 3 with n = 101 would exceed the truncation error that check_layer allows for.
  for (const auto& [n, D] : std::vector<std::pair<Index, Index>>{{1, 1}, {1, 3}, {5, 3}, {101, 1}}) {
    const TiledAttention<double> layer({n, D}, 2, 3, 4, Heads::concatenated, 8, softmax(),
                                       ScoreRules::bilinear);
    CAPTURE(D, n);
    for (const auto& frozen :
         std::vector<std::vector<std::string>>{{}, {"W_Q"}, {"W_K"}, {"W_V"}, {"W_Q", "W_K"}, {"W_Q", "W_V"}})
      check_layer(layer, n == 101 ? 1 : 2, false, frozen);
  }
  const TiledAttention<double> layer({5, 3}, 1, 2, 2, Heads::summed, 1, softmax(), ScoreRules::bilinear);
  CHECK_THROWS_AS(check_layer(layer, 1, true, {}), std::logic_error);
}

TEST_CASE("tiled and plain attention agree at the boundaries of tiles, blocks and packs") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Index n : {1, 7, 8, 9, 47, 48, 49, 63, 64, 65, 129}) {
    const Index N = n < 48 ? 3 : 1;
    check_against_plain({"tokens", N, n, 6, 2, 3, 2, kind});  // bilinear scores
    if (n < 50) check_against_plain({"tokens, many outputs", N, n, 6, 2, 3, 17, kind});
    check_against_plain({"tokens, wide inputs", N, n, 16, 2, 3, 2, kind});  // factored scores
  }
  for (const Index d : {1, 3, 24, 32})
    for (const Index D_out : {1, 17, 70}) check_against_plain({"widths", 5, 9, 6, 3, d, D_out, kind});
  // bilinear scores, too wide for heads to stand side by side
  for (const Index n : {9, 49, 101}) check_against_plain({"wide heads", 3, n, 30, 2, 20, 3, kind});
  // chunks of two samples, one left over
  check_against_plain({"many heads", 3, 20, 5, 7, 2, 3, kind});
}

TEST_CASE("tiled and plain attention agree for every set of blocks") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const auto& trainable : all_trainable_sets())
    for (const Index D_out : {2, 60}) {
      Case c = {"subsets", 3, 9, 6, 2, 3, D_out, kind};
      c.trainable = trainable;
      check_against_plain(c);
    }
}

TEST_CASE("the Gaussian kernel takes differences where squares would lose digits") {
  // Queries and keys of length 1e4 sigma, at distances of about sigma.
  Case c = {"long queries", 2, 20, 5, 2, 3, 2, KernelKind::gaussian, 1.0};
  ModelPoint<double> tiled = make_instance(c);
  const Index size = c.H * c.D * c.d;
  tiled.weights.head(size) *= 1e4;
  tiled.weights.segment(size, size) = tiled.weights.head(size) * (1 + 1e-5);
  ModelPoint<double> plain = tiled;
  plain.model = make_plain_attention_model(c.spec(), c.trainable);
  const TiledProducts found = all_products(tiled.linearize()), expected = all_products(plain.linearize());
  // The rounding of Q and K, eps 1e4, decides: 1e-12 in the exponent, and its derivatives are 1e4 as large.
  CHECK((found.JV - expected.JV).norm() <= 1e-8 * expected.JV.norm());
  CHECK((found.HV - expected.HV).norm() <= 1e-8 * expected.HV.norm());

  // The kernel itself, where everything is exact: q - k = (1, 0), |q| = 2^20.
  const Matrix<double> q = Matrix<double>{{1048577, 1048576}}, k = Matrix<double>{{1048576, 1048576}};
  const GaussianTiles<double> gaussian;
  const double q_norm[64] = {-0.5 * q.squaredNorm()}, k_norm[64] = {-0.5 * k.squaredNorm()};
  Matrix<double> qt = Matrix<double>::Zero(2, 64), z(1, 64);
  qt.col(0) = q.row(0).transpose();
  gaussian.scores({tile(q), tile(qt), tile(k), q_norm, k_norm}, tile(z));
  CHECK(z(0, 0) == -0.5);
}

TEST_CASE("a linear layer obeys the four rules") {
  const bool input_moves = GENERATE(true, false);
  const Linear<double> layer({3, 4}, 2, "W");
  check_layer(layer, 2, input_moves, {});
}

TEST_CASE("a linear layer with a bias obeys the four rules") {
  const bool input_moves = GENERATE(true, false);
  const Linear<double> layer({3, 4}, 2, "W", "b");
  for (const auto& frozen : std::vector<std::vector<std::string>>{{}, {"W"}, {"b"}})
    check_layer(layer, 2, input_moves, frozen);
}

TEST_CASE("tiled attention refuses impossible sizes") {
  const auto make = [](Index n, Index e, Heads combine, Index outputs) {
    return TiledAttention<double>({n, 2}, 2, 3, e, combine, outputs, kernel(KernelKind::softmax),
                                  ScoreRules::factored);
  };
  CHECK_THROWS_AS(make(0, 2, Heads::summed, 2), InputError);
  CHECK_THROWS_WITH(make(3, 2, Heads::summed, 3), "attention: 3 outputs from values of width 2");
  CHECK_THROWS_WITH(make(3, 2, Heads::concatenated, 3), "attention: 3 outputs from values of width 4");
}
