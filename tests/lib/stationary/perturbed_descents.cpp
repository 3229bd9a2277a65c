#include "basin/stationary/perturbed_descents.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/problem/constructions.h"
#include "support/loss.h"

using namespace basin;
using namespace basin::test;

namespace {

ModelLoss small_trap(const std::vector<std::string>& trained) {
  const Construction c = construction("softmax-trap");
  const AttentionSpec spec = c.problem.spec(c.problem.network, 1, 1);
  return loss_of({build_single_attention<double>(spec, trained), c.problem.network.weights->values,
                  std::make_shared<Data<double>>(c.problem.data)});
}

SearchOptions flow_from_beside() {
  SearchOptions options;
  options.stopping = {.gradient = 1e-6, .steps = 500};
  return along_flow(options);
}

/// The point of the loss, judged.
StartsFound judged(const ModelLoss& loss) {
  Starts starts;
  starts.points = {{loss.point.weights}};
  return {record_shape(loss), search_from_all(loss, starts, flow_from_beside()), {}};
}

}  // namespace

TEST_CASE("descents from beside a strict minimum return; from further away not all do") {
  const ModelLoss loss = small_trap({"W_Q"});
  StartsFound found = judged(loss);
  REQUIRE(found.starts[0].kind == PointKind::strict_minimum);
  const Catalogue catalogue = make_catalogue(found);
  check_returns(loss, flow_from_beside(), {.starts = 3}, catalogue, found);
  CHECK(found.starts[0].perturbed == 3);
  CHECK(found.starts[0].returned == 3);
  CHECK_FALSE(found.known);
  StartsFound wide = judged(loss);
  check_returns(loss, flow_from_beside(), {.starts = 3, .radius = 5}, catalogue, wide);
  CHECK(wide.starts[0].perturbed == 3);
  CHECK(wide.starts[0].returned < 3);
  check_returns(loss, flow_from_beside(), {.starts = 0}, catalogue, wide);
  CHECK(wide.starts[0].perturbed == 3);
}

TEST_CASE("the way down from a saddle is followed; a minimum has none") {
  const ModelLoss loss = small_trap({"W_Q", "W_K"});
  const StartRecord start = judged(loss).starts[0];
  REQUIRE(start.kind == PointKind::saddle);
  const FollowedEscape followed = follow_escape(loss, start, flow_from_beside());
  CHECK(followed.loss - start.loss == Approx(start.escape_fall));
  CHECK(followed.end.loss <= followed.loss);
  CHECK(followed.end.kind == PointKind::zero_loss);
  ModelLoss there = loss;
  there.point.weights = followed.weights;
  CHECK((there.point.theta() - loss.point.theta()).norm() == Approx(std::abs(start.escape_step)));
  const ModelLoss minimum = small_trap({"W_Q"});
  CHECK_THROWS_AS(follow_escape(minimum, judged(minimum).starts[0], flow_from_beside()), InputError);
}
