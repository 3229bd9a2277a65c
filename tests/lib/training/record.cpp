#include "basin/training/record.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/single_layer/theory.h"
#include "basin/stationary/gradient_descent.h"
#include "support/cases.h"
#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a record has the numbers of its point, and rates since the last one") {
  const Case c = {"record", 2, 3, 6, 2, 3, 2};
  const ModelPoint<double> point = make_instance(c);
  ModelObjective f(point);
  Descent run{*f.at(point.theta())};
  SinceRecord since;
  const RecordOptions options = {
      .ntk = true, .certify = true, .one_step = true, .memory = std::numeric_limits<double>::infinity()};
  const DescentRecord first =
      measure_record(options, *theory_of(point), run, f.here(), f.counts(), point.theta(), since);
  CHECK(first.step == 0);
  CHECK(first.distance == 0);
  CHECK(std::isnan(first.step_size));
  CHECK(std::isnan(first.measured_rate));
  CHECK(std::isnan(first.predicted_rate));
  REQUIRE(first.kernel);
  const double sigma = singular_values(f.here().jacobian_transposed())[0];
  CHECK(first.kernel->lambda_max == Approx(sigma * sigma));
  REQUIRE(first.certified);
  CHECK(first.certified->bounds.size() == 2);
  CHECK(first.certified->certificate.margin == certificate_at(point, {.conditions = false}).margin);

  since.record_loss = since.loss_before = run.at.loss;
  const double eta = 1e-3;
  descend(f, GradientDescent(eta), run, {.steps = 2}, [&](const Descent& here, const Move& move) {
    since.last = move;
    if (here.step == 1) since.loss_before = here.at.loss;
  });
  since.last.loss_bound = since.loss_before / 2;
  const DescentRecord second =
      measure_record(options, *theory_of(point), run, f.here(), f.counts(), point.theta(), since);
  CHECK(second.step == 2);
  CHECK(second.loss == run.at.loss);
  CHECK(second.step_size == eta);
  CHECK(second.distance == Approx((run.at.theta - point.theta()).norm()));
  CHECK(second.measured_rate == Approx(std::sqrt(second.loss / first.loss)));
  CHECK(second.guaranteed_rate == 0.5);
  const double kept = 1 - eta * second.kernel->lambda_min;
  CHECK(second.predicted_rate == Approx(kept * kept));
  CHECK(second.pl_ratio <= second.kernel->largest_upper);
  CHECK(second.pl_ratio >= second.kernel->lower);
  CHECK(second.counts.gradients == f.counts().gradients);
  REQUIRE(second.block_norms.size() == 4);
  CHECK(second.saturation.mean_entropy > 0);
  CHECK(second.saturation.largest_sum == Approx(1));
}

TEST_CASE("without kernels there are none in a record") {
  const ModelPoint<double> point = make_instance({"plain record", 2, 2, 3, 1, 2, 2});
  ModelObjective f(point);
  const Descent run{*f.at(point.theta())};
  const DescentRecord record =
      measure_record({}, *theory_of(point), run, f.here(), f.counts(), point.theta(), {});
  CHECK_FALSE(record.kernel);
  CHECK_FALSE(record.certified);
  CHECK(record.gradient_norm == Approx(run.at.gradient.norm()));
}

TEST_CASE("any network has a record; of its attention nothing is said, and no certificate is given") {
  const ModelPoint<double> point = two_layers();
  const auto theory = theory_of(point);
  ModelObjective f(point, 0, theory->natural_length(point));
  Descent run{*f.at(point.theta())};
  descend(f, GradientDescent(1e-5), run, {.steps = 3});
  const DescentRecord record = measure_record({}, *theory, run, f.here(), f.counts(), point.theta(), {});
  CHECK(record.step == 3);
  CHECK(record.loss == run.at.loss);
  CHECK(record.loss < point.linearize().loss());
  CHECK(record.distance == Approx((run.at.theta - point.theta()).norm()));
  CHECK(record.block_norms.size() == point.parameters().entries().size());
  CHECK_FALSE(record.saturation.known());
  CHECK_FALSE(record.kernel);
  const auto with = [&](const RecordOptions& options) {
    return measure_record(options, *theory, run, f.here(), f.counts(), point.theta(), {});
  };
  const auto kernel = with({.ntk = true, .memory = 1e9}).kernel;
  REQUIRE(kernel);
  const Vector<double> sigma = singular_values(f.here().jacobian_transposed());
  const Index m = f.here().output_size();
  CHECK(kernel->name == "sum");
  CHECK(kernel->size == m);
  CHECK(kernel->lambda_max == Approx(sigma[0] * sigma[0]));
  const double smallest = sigma.size() < m ? 0 : sigma[m - 1] * sigma[m - 1];
  CHECK(kernel->lambda_min == Approx(smallest).margin(1e-12 * kernel->lambda_max));
  CHECK(kernel->lower <= smallest);
  CHECK(kernel->upper >= smallest);
  CHECK_THROWS_WITH(with({.ntk = true, .memory = 1e3}), Catch::Contains("more than the memory allowed"));
  CHECK_THROWS_WITH(with({.certify = true, .memory = 1e9}),
                    Catch::Contains("known for a single attention layer under squared loss only"));
}
