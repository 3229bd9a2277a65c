#include "basin/stationary/descent.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "basin/stationary/adam.h"
#include "basin/stationary/gradient_descent.h"
#include "basin/stationary/lbfgs.h"
#include "basin/stationary/momentum.h"
#include "basin/stationary/newton.h"
#include "support/cases.h"
#include "support/quadratic.h"

using namespace basin;
using namespace basin::test;

namespace {

std::vector<std::pair<std::string, std::shared_ptr<const DescentMethod>>> all_methods() {
  return {{"gd", std::make_shared<GradientDescent>(0.01)},
          {"flow", std::make_shared<FlowDescent>()},
          {"line search", std::make_shared<LineSearchDescent>()},
          {"momentum", std::make_shared<Momentum>(0.01, 0.9)},
          {"adam", std::make_shared<Adam>(AdamOptions{.eta = 0.01})},
          {"lbfgs", std::make_shared<Lbfgs>(4)},
          {"newton", std::make_shared<TrustRegionNewton>()}};
}

Vector<double> eigenvalues() {
  return Vector<double>::LinSpaced(6, 1, 10);
}

}  // namespace

TEST_CASE("lengths whose squares overflow are lengths all the same") {
  Quadratic f(Quadratic::diagonal(Vector<double>::Ones(2)), Vector<double>::Zero(2));
  Iterate x = *f.at(Vector<double>::Zero(2));
  CHECK(move_to(f, x, Vector<double>::Constant(2, 1e170), 1).length == Approx(std::sqrt(2) * 1e170));
}

TEST_CASE("every method goes on to the same bits from what it remembers, and in a new objective") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const auto& [name, method] : all_methods()) {
      CAPTURE(name);
      const ModelPoint<double> instance = make_instance({"resumed", 3, 4, 5, 2, 3, 2, kind});
      ModelObjective whole_f(instance);
      Descent whole = start(whole_f, instance.theta()), part = whole;
      descend(whole_f, *method, whole, {.steps = 17});

      ModelObjective first(instance);
      part = start(first, instance.theta());
      descend(first, *method, part, {.steps = 9});
      ModelObjective second(instance);
      Descent resumed{*second.at(part.at.theta), part.memory, part.step};
      descend(second, *method, resumed, {.steps = 17});
      CHECK(resumed.step == 17);
      CHECK(resumed.at.theta == whole.at.theta);
      CHECK(resumed.at.loss == whole.at.loss);
    }
}

TEST_CASE("every method finds the minimum of a quadratic, and says so") {
  // The loss at the minimum is about -40: a line search that asks it alone sees gradients down to 1e-7.
  const Vector<double> minimum = Vector<double>::LinSpaced(6, -1, 2);
  const Vectors<double> A = Quadratic::diagonal(eigenvalues());
  for (const auto& [name, method] : all_methods()) {
    CAPTURE(name);
    Quadratic f(A, A * minimum);
    Descent run = start(f, Vector<double>::Zero(6));
    const DescentStatus status = descend(f, *method, run, {.gradient = 1e-6, .steps = 20000});
    CAPTURE(status.text);
    CHECK(status.reason == DescentStatus::Reason::gradient);
    CHECK((run.at.theta - minimum).norm() <= 1e-6);  // the smallest eigenvalue is 1
  }
}

TEST_CASE("a run stops by loss, by steps, and where it cannot go on") {
  Quadratic f(Quadratic::diagonal(eigenvalues()), Vector<double>::Zero(6));
  const Vector<double> ones = Vector<double>::Ones(6);
  Descent run = start(f, ones);
  CHECK(descend(f, GradientDescent(0.1), run, {.loss = 0.5}).reason == DescentStatus::Reason::loss);
  CHECK(run.at.loss <= 0.5);
  CHECK(run.step > 0);

  run = start(f, ones);
  Index calls = 0;
  CHECK(descend(f, GradientDescent(0.01), run, {.steps = 5}, [&](const Descent&, const Move&) {
          ++calls;
        }).reason == DescentStatus::Reason::steps);
  CHECK(calls == 5);

  // beyond 2 / lambda_max: it grows until nothing is finite, and stays at the last finite point
  run = start(f, ones);
  const DescentStatus lost = descend(f, GradientDescent(10), run, {.steps = 100000});
  CHECK(lost.reason == DescentStatus::Reason::not_finite);
  CHECK(run.at.theta.allFinite());
  CHECK(std::isfinite(run.at.loss));

  // a step that is lost in the rounding of theta
  run = start(f, ones);
  CHECK(descend(f, GradientDescent(1e-30), run, {}).reason == DescentStatus::Reason::stalled);
  CHECK(run.step == 0);
}

TEST_CASE("a run keeps how its steps were chosen, also after it was resumed") {
  Rosenbrock f;
  Vector<double> theta(2);
  theta << -1.2, 1;
  Descent whole = start(f, theta);
  StepsTaken expected;
  std::vector<double> steps, shares;
  double size = theta.norm();
  descend(f, FlowDescent(), whole, {.steps = 60}, [&](const Descent& run, const Move& move) {
    steps.push_back(move.step), shares.push_back(move.length / size);
    CHECK(move.share == Approx(shares.back()));
    expected.shortened += move.shortened ? 1 : 0;
    size = run.at.theta.norm();
  });
  CHECK(whole.taken.shortened == expected.shortened);
  CHECK(whole.taken.shortened > 0);
  CHECK(whole.taken.first == steps.front());
  CHECK(whole.taken.first_share == Approx(shares.front()));
  CHECK(whole.taken.smallest == *std::min_element(steps.begin(), steps.end()));
  CHECK(whole.taken.largest == *std::max_element(steps.begin(), steps.end()));
  CHECK(whole.taken.largest_share == Approx(*std::max_element(shares.begin(), shares.end())));
  // longer than the weights
  Descent far = start(f, theta);
  descend(f, GradientDescent(0.1), far, {.steps = 1});
  CHECK(far.taken.first_share > 1);
  CHECK(far.taken.shortened == 0);
}

TEST_CASE("the largest curvature is the largest eigenvalue, also next to a larger negative one") {
  for (const double smallest : {1.0, -50.0}) {
    Vector<double> values = eigenvalues();
    values[0] = smallest;
    Quadratic f(Quadratic::diagonal(values), Vector<double>::Zero(6));
    f.at(Vector<double>::Ones(6));
    CHECK(largest_curvature(f) == Approx(10).epsilon(1e-9));
  }
}
