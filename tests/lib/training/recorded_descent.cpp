#include "basin/training/recorded_descent.h"

#include <catch2/catch.hpp>
#include <limits>
#include <memory>
#include <optional>

#include "basin/linalg/errors.h"
#include "basin/single_layer/theory.h"
#include "basin/stationary/momentum.h"
#include "basin/training/proven_steps.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

const Case kCase = {"recorded", 2, 3, 6, 2, 3, 2};

}  // namespace

TEST_CASE("a run has records at its steps, and one at its end") {
  const ModelPoint<double> point = make_instance(kCase);
  ModelObjective f(point);
  RecordedRun run = start_run(f, theory_of(point), point.theta());
  std::vector<Index> steps = {add_record(f, {}, run).step};
  Index after = 0;
  const DescentStatus status = descend_on_record(
      f, GradientDescent(1e-3), run, {.steps = 5},
      {{}, 2, [&](const DescentRecord& record) { steps.push_back(record.step); }}, [&] { ++after; });
  CHECK(status.reason == DescentStatus::Reason::steps);
  CHECK(steps == std::vector<Index>{0, 2, 4, 5});
  CHECK(after == 5);
  CHECK(run.start == point.theta());
  const RunAccount& a = run.account;
  CHECK(a.recorded == 5);
  CHECK(a.loss == run.run.at.loss);
  CHECK(a.spent.gradients == f.counts().gradients);
  CHECK(a.guaranteed == 0);  // nothing is proven of such a step
  CHECK(a.rises == 0);
  CHECK(a.certified == -1);
}

TEST_CASE("what theory says of steps is accounted for") {
  const ModelPoint<double> point = make_instance(kCase);
  ModelObjective f(point);
  RecordedRun run = start_run(f, theory_of(point), point.theta());
  add_record(f, {}, run);
  descend_on_record(f, GradientDescent(guaranteed_rule(point)), run, {.steps = 4}, {{}, 2, {}});
  CHECK(run.account.guaranteed == 4);
  CHECK(run.account.broken == 0);
  CHECK(run.account.rises == 0);

  // A claim that no step keeps.
  RecordedRun broken = start_run(f, theory_of(point), point.theta());
  add_record(f, {}, broken);
  const GradientDescent boast([](const Iterate& x) { return GuaranteedStep{1e-9, x.loss / 2}; });
  descend_on_record(f, boast, broken, {.steps = 3}, {});
  CHECK(broken.account.guaranteed == 3);
  CHECK(broken.account.broken == 3);

  RecordedRun rising = start_run(f, theory_of(point), point.theta());
  add_record(f, {}, rising);
  descend_on_record(f, GradientDescent(0.3), rising, {.steps = 3}, {});
  CHECK(rising.account.rises > 0);
}

TEST_CASE("a run that is taken up goes on to the same bits, records and counts") {
  const ModelPoint<double> point = make_instance(kCase);
  const Momentum method(1e-3, 0.9);
  std::vector<double> losses, others;
  const auto into = [](std::vector<double>& rows) {
    return [&rows](const DescentRecord& r) {
      rows.insert(rows.end(), {r.loss, r.measured_rate, r.distance});
    };
  };
  ModelObjective f(point);
  RecordedRun whole = start_run(f, theory_of(point), point.theta());
  add_record(f, {}, whole);
  std::optional<RecordedRun> left;
  descend_on_record(f, method, whole, {.steps = 10}, {{}, 4, into(losses)}, [&] {
    if (whole.run.step == 3) left = whole;
  });
  REQUIRE(left);

  ModelObjective g(point);
  RecordedRun run = start_run(g, theory_of(point), point.theta());
  run.run = left->run;
  run.run.at.gradient.setZero();  // of the point only theta is kept
  run.account = left->account;
  take_up(g, run.run, left->account.settled);
  CHECK(run.run.at.gradient == left->run.at.gradient);
  CHECK(measure_record(g, {}, run).step == 3);
  descend_on_record(g, method, run, {.steps = 10}, {{}, 4, into(others)});
  CHECK(run.run.at.theta == whole.run.at.theta);
  CHECK(others == losses);
  CHECK(run.account.spent.gradients == whole.account.spent.gradients);
  CHECK(run.account.spent.losses == whole.account.spent.losses);
  CHECK(run.account.recorded == 10);
}

TEST_CASE("the first record at which the certificate passes is noted") {
  Case c = kCase;
  c.trainable = {"W_V", "W_O"};
  c.D = 8;
  ModelPoint<double> point = make_instance(c);
  const RecordOptions options = {.certify = true, .memory = std::numeric_limits<double>::infinity()};
  ModelObjective far(point);
  RecordedRun run = start_run(far, theory_of(point), point.theta());
  CHECK(!add_record(far, options, run).certified->certificate.passes);
  CHECK(run.account.certified == -1);

  Data<double> data = *point.data;  // targets that are as good as reached
  data.Y = point.linearize().outputs() * (1 + 1e-8);
  point.data = std::make_shared<Data<double>>(std::move(data));
  ModelObjective near(point);
  run = start_run(near, theory_of(point), point.theta());
  CHECK(add_record(near, options, run).certified->certificate.passes);
  CHECK(run.account.certified == 0);
  descend_on_record(near, GradientDescent(1e-6), run, {.steps = 2}, {options, 1, {}});
  CHECK(run.account.certified == 0);
}

TEST_CASE("a start where the loss overflows is refused") {
  const ModelPoint<double> point = make_instance(kCase);
  ModelObjective f(point);
  CHECK_THROWS_AS(start_run(f, theory_of(point), Vector<double>::Constant(f.size(), 1e200)), WorkError);
}
