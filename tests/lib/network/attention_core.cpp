#include "basin/network/attention_core.h"

#include <catch2/catch.hpp>

#include "basin/network/gaussian_kernel.h"
#include "basin/network/softmax_kernel.h"
#include "basin/network/tile_kernels.h"
#include "support/attention_specs.h"

using namespace basin;
using namespace basin::test;

namespace {

constexpr Index kTokens = 53, kHeads = 4, kShared = 2, kWidth = 8, kValues = 16,
                kSamples = 5;  // more than one tile and block of keys

/// Q, K and V of all samples as the core is given them, heads side by side.
Saved<double> drawn_arrays(const AttentionCore<double>& core, const Mask& mask, std::uint64_t seed) {
  Saved<double> saved;
  saved.context.mask = mask;
  saved.values.resize(tiled::kCoreSaved);
  for (const std::size_t b : {tiled::kQ, tiled::kK, tiled::kV}) {
    core.layout().resize(saved, b, 1, kSamples * kTokens);
    Matrix<double> x(kSamples * kTokens, saved[b].cols());
    Random(seed + b, "attention_core").fill_normal(x);
    saved[b][0] = 0.5 * x;
  }
  return saved;
}

}  // namespace

TEST_CASE("the core takes queries, keys and values to what its heads read, and hidden keys have no part") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool causal = GENERATE(false, true);
  const Mask mask = GENERATE(true, false) ? masks_with_holes(kSamples, kTokens) : Mask();
  std::unique_ptr<const TileKernel<double>> tiles;
  std::unique_ptr<const AttentionKernel<double>> kernel;
  if (kind == KernelKind::softmax)
    tiles = std::make_unique<SoftmaxTiles<double>>(), kernel = std::make_unique<SoftmaxKernel<double>>(1);
  else
    tiles = std::make_unique<GaussianTiles<double>>(), kernel = std::make_unique<GaussianKernel<double>>(1.0);
  const AttentionCore<double> core({.n = kTokens,
                                    .H = kHeads,
                                    .d = kWidth,
                                    .e = kValues,
                                    .outputs = kHeads * kValues,
                                    .combine = Heads::concatenated,
                                    .G = kShared,
                                    .causal = causal},
                                   std::move(tiles));

  const Saved<double> given = drawn_arrays(core, mask, 1), moves = drawn_arrays(core, mask, 11);
  Saved<double> value = given, tangent = moves, bar;
  Batch<double> y, dy, ybar;
  core.prepare(value);
  core.value(value, y);
  for (Index i = 0; i < kSamples; ++i) {
    Matrix<double> sees = Matrix<double>::Ones(kTokens, kTokens);
    for (Index t = 0; t < kTokens; ++t)
      for (Index l = 0; l < kTokens; ++l)
        if ((causal && l > t) || (!mask.empty() && !mask[static_cast<std::size_t>(i * kTokens + l)]))
          sees(t, l) = 0;
    for (Index h = 0; h < kHeads; ++h) {
      const auto part = [&](std::size_t b, Index head, Index width) -> Matrix<double> {
        return given[b].slice(0, i * kTokens, kTokens).middleCols(head * width, width);
      };
      Matrix<double> A(kTokens, kTokens);
      kernel->value(part(tiled::kQ, h, kWidth), part(tiled::kK, h / 2, kWidth), sees, A);
      const Matrix<double> R = A * part(tiled::kV, h / 2, kValues);
      CHECK((y.slice(0, i * kTokens, kTokens).middleCols(h * kValues, kValues) - R).norm() <=
            1e-13 * R.norm());
    }
  }

  // <ybar, dy> = <qbar, dq> + <kbar, dk> + <vbar, dv>
  core.prepare_tangent(value, tangent);
  core.tangent(1, value, tangent, dy);
  ybar.resize(1, kSamples * kTokens, kHeads * kValues);
  Matrix<double> drawn_bar(kSamples * kTokens, kHeads * kValues);
  Random(3, "ybar").fill_normal(drawn_bar);
  ybar[0] = drawn_bar;
  core.resize_adjoints(1, kSamples * kTokens, true, true, bar);
  core.adjoint(value, ybar.view(), bar);
  const double left = ybar[0].cwiseProduct(dy[0]).sum();
  double right = 0;
  for (const std::size_t b : {tiled::kQ, tiled::kK, tiled::kV}) {
    const Index width = core.layout().heads(b) * core.layout().width(b);
    right += bar[b][0].leftCols(width).cwiseProduct(moves[b][0].leftCols(width)).sum();
    for (Index row = 0; row < kSamples * kTokens && b != tiled::kQ && !mask.empty(); ++row)
      if (!mask[static_cast<std::size_t>(row)]) CHECK(bar[b][0].row(row).leftCols(width).norm() == 0);
  }
  CHECK(std::abs(left - right) <= 1e-12 * ybar[0].norm() * dy[0].norm());
}
