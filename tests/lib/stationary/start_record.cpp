#include "basin/stationary/start_record.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "basin/problem/constructions.h"
#include "basin/stationary/multi_start.h"
#include "support/loss.h"

using namespace basin;
using namespace basin::test;

namespace {

ModelLoss trap() {
  const Construction c = construction("softmax-trap");
  const AttentionSpec spec = c.problem.spec(c.problem.network, 1, 1);
  return loss_of({build_single_attention<double>(spec, {"W_Q", "W_K"}), c.problem.network.weights->values,
                  std::make_shared<Data<double>>(c.problem.data)});
}

}  // namespace

TEST_CASE("a record goes through numbers and back to the same bits, those that are not there, too") {
  const ModelLoss loss = trap();
  const RecordShape shape = record_shape(loss);
  CHECK(shape.weights == loss.point.weights.size());
  CHECK(shape.parameters == loss.point.theta_size());
  Found nowhere;
  nowhere.not_finite = true;
  nowhere.point.weights = loss.point.weights;
  for (const Found& found : {examine(loss, loss.point.theta()), nowhere}) {
    const StartRecord record = make_record(found, Origin::from, (std::uint64_t{1} << 53U) - 1, shape);
    const std::vector<double> numbers = flat(record);
    CHECK(numbers.size() == shape.size());
    const StartRecord again = from_flat(numbers, shape);
    const std::vector<double> twice = flat(again);
    CHECK(std::memcmp(numbers.data(), twice.data(), numbers.size() * sizeof(double)) == 0);
    CHECK(again.seed == record.seed);
    CHECK(again.origin == Origin::from);
    CHECK(again.kind == found.point.kind);
    CHECK(again.weights == loss.point.weights);
  }
}

TEST_CASE("a record says of a point what a catalogue needs") {
  const ModelLoss loss = trap();
  const RecordShape shape = record_shape(loss);
  const Found found = examine(loss, loss.point.theta());
  REQUIRE(found.point.kind == PointKind::saddle);
  const CatalogueItem item = item_of(make_record(found, Origin::given, 0, shape), shape);
  CHECK(item.kind == PointKind::saddle);
  CHECK(item.negative == found.point.curvature.negative);
  CHECK(item.loss == found.point.at.loss);
  CHECK(item.function.outputs == found.point.function.outputs);
  CHECK(item.function.heads.size() == found.point.function.heads.size());
  // where the gradient decides nothing is counted
  StartRecord moving;
  moving.negative = moving.zero = moving.undecided = std::nan("");
  moving.function = Vector<double>::Zero(shape.function());
  CHECK(item_of(moving, shape).negative == 0);
  CHECK(item_of(moving, shape).doubtful == 0);
}
