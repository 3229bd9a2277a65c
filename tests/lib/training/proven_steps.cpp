#include "basin/training/proven_steps.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/single_layer/certificate_input.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

ModelPoint<double> some_point(KernelKind kind, bool near_targets) {
  const Case c = {"proven steps", 2, 2, 6, 2, 3, 2, kind};
  ModelPoint<double> point = make_instance(c);
  if (!near_targets) return point;
  auto data = std::make_shared<Data<double>>(*point.data);
  data->Y = point.linearize().outputs() + 1e-6 * point.data->Y;
  point.data = data;
  return point;
}

/// So many steps by a rule; after each what became of its guarantee.
std::vector<Guarantee> guarantees(const ModelPoint<double>& point, const GradientDescent::Rule& rule,
                                  Index steps) {
  ModelObjective f(point);
  Descent run{*f.at(point.theta())};
  std::vector<Guarantee> result;
  double before = run.at.loss;
  descend(f, GradientDescent(rule), run, {.steps = steps}, [&](const Descent& here, const Move& move) {
    result.push_back(guarantee_of(point, move, before, here.at.loss));
    CHECK(here.at.loss < before);
    before = here.at.loss;
  });
  return result;
}

}  // namespace

TEST_CASE("guaranteed steps lower the loss as they say, from anywhere") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const ModelPoint<double> point = some_point(kind, false);
    CHECK(guarantees(point, guaranteed_rule(point), 5) == std::vector<Guarantee>(5, Guarantee::kept));
  }
}

TEST_CASE("certified steps lower the loss by their rate where the certificate passes; else there are none") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const ModelPoint<double> near = some_point(kind, true);
    const Certificate certificate = certificate_at(near);
    const auto rule = certified_rule(certificate);
    CHECK(guarantees(near, rule, 5) == std::vector<Guarantee>(5, Guarantee::kept));
    const GuaranteedStep step = rule({near.theta(), 3, {}});
    CHECK(step.step == certificate.step);
    CHECK(step.loss_bound == certificate.rate * 3);
    CHECK_THROWS_AS(certified_rule(certificate_at(some_point(kind, false))), InputError);
  }
}

TEST_CASE("a guarantee is broken by more than rounding; where only rounding is left, there is none") {
  const ModelPoint<double> point = some_point(KernelKind::softmax, false);
  const double f = 2, r = std::sqrt(2 * f);
  CHECK(residual_bound(point, f) > r);
  CHECK(residual_bound(point, f) < r * (1 + 1e-12));
  Move move;
  CHECK(guarantee_of(point, move, f, 1) == Guarantee::none);
  move.loss_bound = 1;
  CHECK(guarantee_of(point, move, f, 1) == Guarantee::kept);
  CHECK(guarantee_of(point, move, f, 1 + 1e-16 * f) == Guarantee::kept);
  CHECK(guarantee_of(point, move, f, 1 + 1e-10) == Guarantee::broken);
  move.loss_bound = 0;
  CHECK(guarantee_of(point, move, 1e-21 * loss_scale(point), 1) == Guarantee::none);
}
