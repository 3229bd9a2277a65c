#include "basin/single_layer/underflow.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/curvature/operators.h"
#include "basin/linalg/errors.h"
#include "basin/spectrum/eigenpairs.h"
#include "basin/stationary/network_theory.h"
#include "support/cases.h"
#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

namespace {

/// One token x, one weight of each kind, Gaussian kernel with sigma = 1: F = exp(-u^2 / 2) x v o, u = x (q -
/// k).
ModelPoint<double> one_token(double x, double y, double q, double v, double o) {
  AttentionSpec spec = {1, 1, 1, 1, 1, KernelKind::gaussian, 1};
  ModelPoint<double> instance;
  instance.model = build_single_attention<double>(spec, {"W_Q"});
  instance.weights.resize(4);
  instance.weights << q, 0, v, o;
  auto data = std::make_shared<Data<double>>();
  data->samples = 1;
  data->X = Matrix<double>::Constant(1, 1, x);
  data->Y = Matrix<double>::Constant(1, 1, y);
  instance.data = data;
  return instance;
}

}  // namespace

TEST_CASE("what underflows is within the bound: against numbers of a wider range") {
  static_assert(std::numeric_limits<long double>::min_exponent < -2000, "this test needs a wider range");
  Index lost = 0;
  for (const double u : {30.0, 37.5, 38.2, 38.45, 38.6, 39.0, 45.0, 100.0})
    for (const double size : {1e-3, 1.0, 1e4}) {
      const double q = u / size;
      const ModelPoint<double> instance = one_token(size, size, q, size, size);
      const double bound = attention_underflow(instance);
      const Linearization<double> at = instance.linearize();
      const Eigenvalue found = full_spectrum(HessianOperator(at, bound), false).eigenvalues.at(0);
      const long double x = size, t = x * static_cast<long double>(q), F = std::exp(-t * t / 2) * x * x * x,
                        first = -t * x * F, second = (t * t - 1) * x * x * F,
                        truth = first * first + (F - x) * second;
      CAPTURE(u, size, found.value, found.error_bound, static_cast<double>(truth));
      const long double relative = 1e-11L * std::abs(truth);  // exponents up to 5000 are rounded
      CHECK(std::abs(found.value - truth) <= found.error_bound + relative);
      CHECK(found.error_bound >= bound);
      CHECK(bound > 0);
      CHECK(bound < 1e-200);  // far below all that is not lost
      // what is estimated of any network is enough here, too
      const double estimated = NetworkTheory(instance).product_underflow(at);
      CHECK(std::abs(found.value - truth) <= found.error_bound - bound + estimated + relative);
      CHECK(estimated < 1e-200);
      lost += found.value == 0 && truth != 0 ? 1 : 0;
    }
  CHECK(lost >= 6);
}

TEST_CASE("the bound is known for a single attention layer") {
  CHECK_THROWS_AS(attention_underflow(two_layers()), InputError);
}

TEST_CASE("operators of operators keep the bound") {
  const ModelPoint<double> instance = one_token(1, 1, 1, 1, 1);
  const Linearization<double> at = instance.linearize();
  const HessianOperator H(at, 1e-290);
  const GaussNewtonOperator G(at, 2e-290);
  CHECK(DifferenceOperator(H, G).underflow() == Approx(3e-290));
  CHECK(DeflatedOperator(
            H, [](VectorsRef<double>) {}, 1)
            .underflow() == 1e-290);
}
