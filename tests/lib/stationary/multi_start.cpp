#include "basin/stationary/multi_start.h"

#include <catch2/catch.hpp>
#include <mutex>

#include "basin/linalg/errors.h"
#include "basin/problem/constructions.h"
#include "support/cases.h"
#include "support/loss.h"

using namespace basin;
using namespace basin::test;

namespace {

ModelLoss trap_loss(const std::vector<std::string>& trained) {
  const Construction c = construction("softmax-trap");
  const AttentionSpec spec = c.problem.spec(c.problem.network, 1, 1);
  return loss_of({build_single_attention<double>(spec, trained), c.problem.network.weights->values,
                  std::make_shared<Data<double>>(c.problem.data)});
}

SearchOptions flow(Index steps = 200) {
  SearchOptions options;
  options.stopping = {.gradient = 1e-6, .steps = steps};
  return along_flow(options);
}

/// A point, a start, and drawn ones for both targets.
Starts some_starts(const ModelLoss& loss) {
  Starts starts;
  starts.points = {{loss.point.weights, "the point", 0, 7}};
  starts.from = {{loss.point.weights, "the start"}};
  starts.drawn = 2;
  starts.any = true;
  const Index P = loss.point.theta_size();
  starts.draw = [P](std::uint64_t seed) { return random_vectors(P, 1, seed).col(0).eval(); };
  return starts;
}

}  // namespace

TEST_CASE("every start has a record, in order; seeds depend on their number alone") {
  const ModelLoss loss = trap_loss({"W_Q", "W_K"});
  const Starts starts = some_starts(loss);
  const std::vector<StartTask> tasks = tasks_of(starts);
  const std::vector<StartRecord> records = search_from_all(loss, starts, flow());
  REQUIRE(records.size() == 6);
  for (std::size_t t = 0; t < records.size(); ++t) CHECK(records[t].origin == tasks[t].origin);
  CHECK(records[0].kind == PointKind::saddle);
  CHECK(records[0].escape_fall < 0);
  CHECK(records[0].row == 7);
  CHECK(records[1].kind != PointKind::saddle);  // left downwards
  CHECK(records[1].source == -1);
  for (const std::size_t k : {0, 1}) {
    CHECK(records[2 + k].seed == start_seed(1, static_cast<Index>(k)));
    CHECK(records[4 + k].seed == records[2 + k].seed);
    CHECK(records[4 + k].start_loss == records[2 + k].start_loss);
    CHECK(records[2 + k].seed < std::uint64_t{1} << 53U);
  }
  CHECK(start_seed(1, 0) != start_seed(1, 1));
  CHECK(start_seed(1, 0) != start_seed(2, 0));
}

TEST_CASE("what was kept is not searched for again, and everything else is handed over to be kept") {
  const ModelLoss loss = trap_loss({"W_Q"});
  const Starts starts = some_starts(loss);
  const std::vector<StartRecord> all = search_from_all(loss, starts, flow());
  std::mutex mutex;
  std::vector<Index> kept;
  const KeptRecords records = {[&](Index task) -> std::optional<StartRecord> {
                                 if (task % 2 != 0) return std::nullopt;
                                 StartRecord before = all[static_cast<std::size_t>(task)];
                                 before.seed = 123;
                                 return before;
                               },
                               [&](Index task, const StartRecord&) {
                                 const std::lock_guard lock(mutex);
                                 kept.push_back(task);
                               }};
  const std::vector<StartRecord> again = search_from_all(loss, starts, flow(), records);
  std::sort(kept.begin(), kept.end());
  CHECK(kept == std::vector<Index>{1, 3, 5});
  for (std::size_t t = 0; t < again.size(); ++t) {
    CHECK(again[t].loss == all[t].loss);
    CHECK(again[t].seed == (t % 2 == 0 ? 123 : all[t].seed));
  }
}

TEST_CASE("an error says which start it is of") {
  const ModelLoss loss = trap_loss({"W_Q"});
  Starts starts;
  starts.from = {{loss.point.weights, "the start"}};
  SearchOptions options = flow();
  options.method = [](Objective&, const Iterate&, double) -> std::unique_ptr<const DescentMethod> {
    throw InputError("no step");
  };
  CHECK_THROWS_WITH(search_from_all(loss, starts, options), "the start: no step");
  starts.from.clear();
  starts.drawn = 1;
  starts.draw = [&](std::uint64_t) { return loss.point.theta(); };
  CHECK_THROWS_WITH(search_from_all(loss, starts, options),
                    "start 0, seed " + std::to_string(start_seed(1, 0)) + ": no step");
  starts.drawn = 0;
  starts.points = {{Vector<double>::Constant(loss.point.weights.size(), 1e200), "the point"}};
  CHECK_THROWS_AS(search_from_all(loss, starts, options), WorkError);
}

TEST_CASE("of a convex loss the lowest stationary point is the minimum; a zero that is reached is one") {
  Case c = {"least squares", 3, 4, 3, 1, 2, 2};
  c.trainable = {"W_V"};
  const ModelLoss loss = loss_of(make_instance(c));
  StartsFound found = {record_shape(loss), {}, {}};
  StartRecord high, low, exact, moving;
  for (StartRecord* r : {&high, &low, &exact, &moving}) {
    r->kind = PointKind::strict_minimum;
    r->residual_norm = 1, r->residual_rounding = 1e-15;
    r->function = Vector<double>::Zero(found.shape.function());
  }
  high.loss = 2, low.loss = 1, exact.loss = 0.5, moving.loss = 0.1;
  exact.residual_norm = 0;
  moving.kind = PointKind::not_stationary;
  found.starts = {high, low, exact, moving};
  use_convexity(loss, found);
  REQUIRE(found.known);
  CHECK(found.known->loss == 1);
  CHECK(found.source() == "as f is convex in W_V");
  found.known = GlobalMinimum{0.25, "said"};
  use_convexity(loss, found);
  CHECK(found.known->loss == 0.25);
  Catalogue catalogue;
  catalogue.lowest_known = true;
  note_zero(catalogue, "reached", found);
  CHECK(found.source() == "said");
  catalogue.lowest_known = false;
  note_zero(catalogue, "reached", found);
  CHECK(found.known->loss == 0);
  CHECK(found.source() == "reached");
}

TEST_CASE("a valley at the bound of contradicting labels is a global one, a point there a global minimum") {
  const Case c = {"bound", 2, 2, 3, 1, 2, 1};
  const ModelLoss loss = loss_of(make_instance(c));
  StartsFound found;
  found.shape = record_shape(loss);
  found.bound = 0.5;
  StartRecord r;
  r.function = Vector<double>::Zero(found.shape.function());
  r.kind = PointKind::valley, r.loss_error = 1e-12;
  StartRecord near = r, far = r, point = r;
  near.loss = 0.5 * (1 + 0.9 * kNearBound), far.loss = 0.5 * (1 + 1.1 * kNearBound);
  found.starts = {far, near};
  use_bound(found);
  CHECK_FALSE(found.known);
  const Catalogue valleys = make_catalogue(found);
  CHECK(valleys.verdicts == std::vector<Verdict>{Verdict::valley, Verdict::global_valley});
  CHECK(valleys.bound == 0.5);
  found.bound = 0;
  CHECK(make_catalogue(found).verdicts == std::vector<Verdict>{Verdict::valley, Verdict::valley});
  found.bound = 0.5;
  point.kind = PointKind::degenerate, point.loss = 0.5 + 2e-12;
  found.starts = {far, point};
  use_bound(found);
  CHECK_FALSE(found.known);
  found.starts[1].loss = 0.5 + 0.5e-12;
  use_bound(found);
  REQUIRE(found.known);
  CHECK(make_catalogue(found).verdicts == std::vector<Verdict>{Verdict::valley, Verdict::global_minimum});
}

TEST_CASE("shares count starts of one kind, and no given points") {
  StartsFound found;
  found.starts.resize(3);
  found.starts[0].origin = Origin::given;
  Catalogue catalogue;
  catalogue.verdicts = {Verdict::saddle, Verdict::global_minimum, Verdict::saddle};
  const std::vector<VerdictShare> shares = verdict_shares(found, catalogue);
  REQUIRE(shares.size() == kVerdicts);
  for (const VerdictShare& s : shares) {
    CHECK(s.origin == Origin::descent);
    CHECK(s.total == 2);
    CHECK(s.count == (s.verdict == Verdict::global_minimum || s.verdict == Verdict::saddle ? 1 : 0));
  }
}

TEST_CASE("dense Hessians need nothing where none is made") {
  CHECK(dense_search_bytes(100, 50) == 0);
  CHECK(dense_search_bytes(100, 100) >= 96 * 100 * 100);
}
