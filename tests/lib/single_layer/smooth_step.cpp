#include "basin/single_layer/smooth_step.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the bound on |J| is one, and within m^(1/32)") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : hard_cases(kind)) {
      if (c.score_scale > 1) continue;  // formed kernels have no digits there, and no step is asked for
      CAPTURE(describe(c));
      const ModelPoint<double> instance = make_instance(c);
      const Vectors<double> Jt = instance.linearize().jacobian_transposed();
      const double norm = singular_values(Jt)[0];
      const double bound = jacobian_norm_bound(attention_factors(instance), c.trainable);
      CHECK(bound >= norm);
      CHECK(bound <= norm * std::pow(static_cast<double>(Jt.cols()), 1.0 / 32) * (1 + 1e-9));
    }
}

TEST_CASE("a smooth step lowers the loss by at least |grad f|^2 / (2 beta), for every set of blocks") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const auto& trained : all_trainable_sets())
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        Case c = {"smooth", 2, 3, 4, 2, 2, 2, kind};
        c.trainable = trained;
        const ModelPoint<double> instance = make_instance(c, seed);
        const Linearization<double> at = instance.linearize();
        const double slope = at.gradient().norm();
        const NormConstants norms = norm_constants(instance);
        const double S0 = jacobian_norm_bound(attention_factors(instance), trained);
        const SmoothStep s = smooth_step(norms, S0, std::sqrt(2 * at.loss()), slope);
        CAPTURE(describe(c), s.step, s.beta, s.radius);
        CHECK(s.step * slope <= s.radius * (1 + 1e-12));
        const Vector<double> theta = instance.theta() - s.step * at.gradient();
        const Linearization<double> next = instance.at(theta).linearize();
        CHECK(next.loss() <= at.loss() - slope * slope / (2 * s.beta) + 1e-13 * at.loss());
        // beta bounds the curvature on the way
        for (const Linearization<double>* point : {&at, &next}) {
          const Index P = point->theta_size();
          Vectors<double> H(P, P);
          point->hessian(Vectors<double>::Identity(P, P), H);
          CHECK(symmetric_eigen(H, false).values.cwiseAbs().maxCoeff() <= s.beta);
        }
      }
}

TEST_CASE("where F is linear the smooth step is 1 / |J|^2, however far it goes") {
  Case c = {"linear", 2, 3, 4, 2, 2, 2};
  c.trainable = {"W_O"};
  const ModelPoint<double> instance = make_instance(c);
  const Linearization<double> at = instance.linearize();
  const NormConstants norms = norm_constants(instance);
  const SmoothStep s = smooth_step(norms, 3, 7, 100);
  CHECK(s.beta == 9);
  CHECK(s.step == Approx(1.0 / 9));
}
