#include "basin/stationary/rounding.h"

#include <catch2/catch.hpp>

#include "basin/problem/constructions.h"
#include "support/cases.h"
#include "support/loss.h"
#include "support/reference.h"
#include "support/stationary.h"

using namespace basin;
using namespace basin::test;

namespace {

/// |g - g'|, g' with 50 digits.
double gradient_error(const AttentionSpec& spec, const ModelPoint<double>& x) {
  const RealMatrix J = real_jacobian(spec, x.weights, *x.data);
  const Index rows = x.data->X.rows(), n = spec.tokens, D = spec.embedding, d = spec.head_dim,
              o = spec.outputs, size = spec.heads * D * d;
  RealVector r(rows * o);
  for (Index i = 0; i < x.data->samples; ++i) {
    RealMatrix F = -x.data->Y.middleRows(i * n, n).cast<Real>();
    const RealMatrix X = x.data->X.middleRows(i * n, n).cast<Real>();
    for (Index h = 0; h < spec.heads; ++h) {
      const auto block = [&](Index b) -> RealMatrix {
        const Index offset = b < 3 ? b * size + h * D * d : 3 * size + h * d * o;
        return Eigen::Map<const Matrix<double>>(x.weights.data() + offset, b < 3 ? D : d, b < 3 ? d : o)
            .cast<Real>();
      };
      F += real_outputs(spec, {X * block(0), X * block(1), X * block(2), block(3)});
    }
    for (Index k = 0; k < n; ++k)
      for (Index j = 0; j < o; ++j) r[(i * n + k) * o + j] = F(k, j);
  }
  const RealVector g = J.transpose() * r;
  const Vector<double> mine = x.linearize().gradient();
  Real error = 0;
  for (Index i = 0; i < g.size(); ++i) error += (g[i] - Real(mine[i])) * (g[i] - Real(mine[i]));
  return static_cast<double>(sqrt(error));
}

Rounding rounding(const ModelPoint<double>& x) {
  return rounding_at(x.linearize());
}

}  // namespace

TEST_CASE("the allowance covers the error of the gradient, and is not much larger") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const Case& c : hard_cases(kind)) {
      if (c.n > 10) continue;  // slow with 50 digits
      CAPTURE(describe(c));
      const ModelPoint<double> x = make_instance(c);
      const double error = gradient_error(c.spec(), x), allowed = rounding(x).gradient;
      CAPTURE(error, allowed);
      CHECK(error <= allowed);
      // what a relative error eps in every weight may do is no more than |H| |theta| eps and the like
      CHECK(allowed <= 1e-10 * (1 + c.score_scale * c.score_scale) * (1 + x.linearize().gradient().norm()));
    }
}

TEST_CASE("and at stationary points, where everything cancels") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const Case c = {"stationary", 3, 4, 3, 1, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c, seed));
      CHECK(gradient_error(c.spec(), x) <= rounding(x).gradient);
      CHECK(x.linearize().gradient().norm() <= rounding(x).gradient);
    }
}
