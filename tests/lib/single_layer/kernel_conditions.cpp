#include "basin/single_layer/kernel_conditions.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/single_layer/attention_rounding.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

KernelConditions conditions_of(const ModelPoint<double>& instance, const std::vector<std::string>& blocks) {
  return InitialisationConditions(measured_factors(instance)).of(blocks);
}

/// Singular values of J for some of the blocks, m of them, descending.
Vector<double> singular_values_of(const Vectors<double>& Jt, const ParameterLayout& parameters,
                                  const std::vector<std::string>& blocks) {
  Index rows = 0;
  for (const auto& b : blocks) rows += parameters.find(b).block.size();
  Vectors<double> part(rows, Jt.cols());
  rows = 0;
  for (const auto& b : blocks) {
    const auto& entry = parameters.find(b);
    part.middleRows(rows, entry.block.size()) = Jt.middleRows(entry.theta_offset, entry.block.size());
    rows += entry.block.size();
  }
  Vector<double> all = Vector<double>::Zero(Jt.cols());
  const Vector<double> values = singular_values(part);
  all.head(values.size()) = values;
  return all;
}

/// Random sizes, from degenerate to comfortable.
Case random_case(std::uint64_t seed, KernelKind kind) {
  Random random(seed, "sizes");
  const auto pick = [&](std::initializer_list<Index> values) {
    return *(values.begin() + static_cast<Index>(random.uniform() * static_cast<double>(values.size())));
  };
  Case c = {"draw",          pick({1, 2, 3}), pick({1, 2, 3, 4}), pick({1, 3, 6, 12}),
            pick({1, 2, 3}), pick({1, 2, 4}), pick({1, 2, 3}),    kind};
  c.duplicate_tokens = random.uniform() < 0.1;
  c.score_scale = pick({1, 1, 1, 30});
  return c;
}

const Condition& find(const KernelConditions& k, const std::string& name) {
  for (const Condition& c : k.conditions)
    if (c.name == name) return c;
  FAIL("no condition " << name);
  throw;
}

}  // namespace

TEST_CASE("bounds hold, failing conditions mean singular kernels, sufficient ones mean positive definite",
          "[many]") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  int proven = 0, refuted = 0, tight = 0, above = 0;
  for (std::uint64_t draw = 0; draw < 250; ++draw) {
    const Case c = random_case(draw, kind);
    CAPTURE(describe(c), draw);
    const ModelPoint<double> instance = make_instance(c, draw);
    const Linearization<double> at = instance.linearize();
    const Vectors<double> Jt = at.jacobian_transposed();
    const MeasuredFactors factors = measured_factors(instance);
    const InitialisationConditions conditions(factors);
    for (const auto& blocks : all_trainable_sets()) {
      const Vector<double> sigma = singular_values_of(Jt, at.parameters(), blocks);
      const double smallest = sigma[sigma.size() - 1];
      // What LAPACK and the rounding of J may do to a singular value here.
      double rounding = 1e-12 * (sigma[0] + 1e-12);
      for (const double hidden : centring_rounding(factors.factors, blocks)) rounding += hidden;
      const KernelConditions k = conditions.of(blocks);
      CAPTURE(k.blocks, smallest, sigma[0]);
      for (const LowerBound& b : k.bounds) {
        CAPTURE(b.formula, b.bound.value);
        CHECK(std::sqrt(b.bound.value) <= smallest + rounding);
        tight += b.bound.value > 0.25 * smallest * smallest;
      }
      // With duplicate tokens J is exactly zero, and computed to eps times inputs, keys and values of
      // size 10.
      CHECK(std::sqrt(k.upper_bound) >= sigma[0] - rounding - 1e-14);
      above += k.upper_bound < 4 * sigma[0] * sigma[0];
      if (const Condition* obstacle = k.obstacle()) {
        CAPTURE(obstacle->statement, obstacle->measured);
        CHECK(smallest <= rounding);
        CHECK_FALSE(obstacle->remedy.empty());
        CHECK_FALSE(k.sufficient());
        if (obstacle->exact) CHECK(k.refuted());
        ++refuted;
      }
      // J is off by eps times inputs, keys and values of size 10, whatever its own size.
      if (k.refuted()) CHECK(smallest <= 1e-14 * (sigma[0] + 1));
      if (k.sufficient()) {
        CHECK(k.lower_bound().positive());
        ++proven;
      }
    }
  }
  // Both kinds of verdicts, and bounds that say something, must have occurred.
  CHECK(proven > 300);
  CHECK(refuted > 300);
  CHECK(tight > 300);
  CHECK(above > 300);
}

TEST_CASE("rank conditions decide exactly where the inputs are independent") {
  // D >= N n: kernels of W_Q, W_K and their sums are positive definite iff the local Jacobians have full
  // rank.
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  int definite = 0, singular = 0;
  for (const Index n : {1, 2, 3})
    for (const Index d : {1, 2, 3})
      for (const Index H : {1, 2})
        for (const Index D_out : {1, 2, 3}) {
          const Case c = {"independent", 2, n, 12, H, d, D_out, kind};
          const ModelPoint<double> instance = make_instance(c);
          const Linearization<double> at = instance.linearize();
          const Vectors<double> Jt = at.jacobian_transposed();
          const MeasuredFactors factors = measured_factors(instance);
          const InitialisationConditions conditions(factors);
          CHECK(conditions.ranks().plain == 2 * n);
          CHECK(conditions.ranks().centred == 2 * (n - 1));
          for (const auto& blocks : all_trainable_sets()) {
            if (blocks.back() == "W_O") continue;
            const Vector<double> sigma = singular_values_of(Jt, at.parameters(), blocks);
            const bool positive = sigma[sigma.size() - 1] > 1e-10 * sigma[0];
            const KernelConditions k = conditions.of(blocks);
            CAPTURE(describe(c), k.blocks, sigma.transpose());
            (positive ? definite : singular) += 1;
            if (blocks != std::vector<std::string>{"W_V"}) {
              CHECK(find(k, "rank_local").holds() == positive);
              CHECK(k.sufficient() == positive);
            } else {
              CHECK((k.sufficient() ? positive : true));
            }
          }
          // The count of the theory: for generic weights the limits of the rank decide.
          const bool query = find(conditions.of({"W_Q"}), "rank_limit").holds();
          CHECK(query == (H * std::min(d, kind == KernelKind::softmax ? n - 1 : n) >= D_out));
          CHECK(find(conditions.of({"W_Q"}), "rank_local").holds() == query);
          CHECK(find(conditions.of({"W_K"}), "rank_local").holds() ==
                find(conditions.of({"W_K"}), "rank_limit").holds());
        }
  CHECK(definite > 50);
  CHECK(singular > 50);
}

TEST_CASE("some bounds are equalities") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"equalities", 2, 2, 6, 1, 4, 2, kind};
  const ModelPoint<double> instance = make_instance(c);
  const Linearization<double> at = instance.linearize();
  const Vectors<double> Jt = at.jacobian_transposed();
  const MeasuredFactors factors = measured_factors(instance);
  const InitialisationConditions conditions(factors);
  for (const std::string block : {"W_V", "W_O"}) {  // one head
    const Vector<double> sigma = singular_values_of(Jt, at.parameters(), {block});
    const double lambda = sigma[sigma.size() - 1] * sigma[sigma.size() - 1];
    CHECK(lambda > 0);
    CHECK(conditions.of({block}).bounds.front().bound.value == Approx(lambda).epsilon(1e-9));
  }
}

TEST_CASE("the same sample twice, in any order of its tokens, makes every kernel singular") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"twice", 3, 2, 9, 2, 4, 1, kind};
  ModelPoint<double> instance = make_instance(c);
  CHECK(find(conditions_of(instance, {"W_V"}), "distinct").measured == 6);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->X.row(4) = data->X.row(1);
  CHECK(find(conditions_of({instance.model, instance.weights, data}, {"W_V"}), "distinct").holds());
  data->X.row(5) = data->X.row(0);
  instance.data = data;
  const Vectors<double> Jt = instance.linearize().jacobian_transposed();
  for (const auto& blocks : all_trainable_sets()) {
    const KernelConditions k = conditions_of(instance, blocks);
    CHECK(find(k, "distinct").measured == 4);
    CHECK(k.refuted());
    const Vector<double> sigma = singular_values_of(Jt, instance.model->parameters(), blocks);
    CHECK(sigma[sigma.size() - 1] <= 1e-14 * sigma[0]);
  }
  // A token twice in a sample.
  data->X.row(4) = data->X.row(5);
  CHECK(find(conditions_of(instance, {"W_Q", "W_O"}), "distinct").measured == 5);
}

TEST_CASE("too many copies of one token make the kernel of W_Q singular, whatever D is") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"copies", 5, 3, 40, 2, 2, 1, kind};
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  instance.data = data;
  for (const Index copies : {1, 4, 5}) {
    for (Index i = 1; i < copies; ++i) data->X.row(3 * i) = data->X.row(0);
    const Vector<double> sigma =
        singular_values_of(instance.linearize().jacobian_transposed(), instance.model->parameters(), {"W_Q"});
    const KernelConditions k = conditions_of(instance, {"W_Q"});
    CAPTURE(copies, sigma.transpose());
    CHECK(find(k, "copies").threshold == copies);
    CHECK(k.refuted() == (copies == 5));
    CHECK((sigma[sigma.size() - 1] <= 1e-14 * sigma[0]) == (copies == 5));
    CHECK_FALSE(conditions_of(instance, {"W_K"}).refuted());
  }
}

TEST_CASE("zeros that make a kernel singular are exact, and only these refute") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const bool softmax = kind == KernelKind::softmax;
  const Case c = {"zeros", 2, 2, 12, 2, 4, 1, kind};
  const std::string what = GENERATE("W_Q", "W_K", "W_V", "W_O", "one head of W_O", "a token");
  ModelPoint<double> instance = make_instance(c);
  if (what == "a token") {
    auto data = std::make_shared<Data<double>>(*instance.data);
    data->X.row(1).setZero();
    instance.data = data;
  } else {
    const auto& entry = instance.model->parameters().find(what.substr(what.size() - 3));
    const Index size = what.size() > 3 ? entry.block.size() / 2 : entry.block.size();
    instance.weights.segment(entry.offset, size).setZero();
  }
  const Vectors<double> Jt = instance.linearize().jacobian_transposed();
  Index refuted = 0;
  for (const auto& blocks : all_trainable_sets()) {
    const Vector<double> sigma = singular_values_of(Jt, instance.model->parameters(), blocks);
    const KernelConditions k = conditions_of(instance, blocks);
    const bool singular = sigma[sigma.size() - 1] <= 1e-14 * sigma[0];
    CAPTURE(what, kernel_name(kind), k.blocks, sigma.transpose());
    // Gaussian attention without keys is the same for all keys, so that A and B have a rank of one a head:
    // this shows in ranks alone.
    const bool by_rank = !softmax && what == "W_K";
    if (k.refuted()) CHECK(singular);
    if (!by_rank) CHECK(k.refuted() == singular);
    refuted += k.refuted();
  }
  CHECK((refuted > 0) == (what != "one head of W_O" && !(what == "W_K" && !softmax)));
}

TEST_CASE("few features and few different tokens are sizes: they refute") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const auto refuted = [](const Case& c, const ModelPoint<double>& instance) {
    const Vectors<double> Jt = instance.linearize().jacobian_transposed();
    std::string found;
    for (const char* block : {"W_V", "W_O"}) {
      const KernelConditions k = conditions_of(instance, {block});
      const Vector<double> sigma = singular_values_of(Jt, instance.model->parameters(), {block});
      CAPTURE(describe(c), block, sigma.transpose());
      CHECK(k.refuted() == (sigma[sigma.size() - 1] <= 1e-12 * sigma[0]));
      if (k.refuted()) found += block;
    }
    return found;
  };
  // Two heads of D features give B and A a rank of 2 D at most, whatever d is.
  const Case narrow = {"narrow", 2, 4, 3, 2, 8, 1, kind}, wide = {"wide", 2, 4, 4, 2, 8, 1, kind};
  CHECK(refuted(narrow, make_instance(narrow)) == "W_VW_O");
  CHECK(refuted(wide, make_instance(wide)) == "");
  // Four words in 12 places: a rank of 4 a head.
  const Case words = {"words", 4, 3, 20, 2, 20, 1, kind};
  const ModelPoint<double> instance = make_instance(words);
  auto data = std::make_shared<Data<double>>(*instance.data);
  const Index of_place[] = {0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3};
  const Matrix<double> X = data->X;
  for (Index a = 0; a < 12; ++a) data->X.row(a) = X.row(of_place[a]);
  CHECK(refuted(words, {instance.model, instance.weights, data}) == "W_VW_O");
}

TEST_CASE("attention that underflows has its rank") {
  // Queries far from all keys: weights of e^-1000 and less, and zero in double precision, for each token
  // others.
  const auto far = GENERATE(2.0, 40.0, 4000.0);
  const Case c = {"far", 2, 2, 8, 2, 4, 2, KernelKind::gaussian};
  ModelPoint<double> instance = make_instance(c);
  instance.weights.segment(instance.model->parameters().find("W_Q").offset, 64) *= far;
  const KernelConditions k = conditions_of(instance, {"W_O"});
  CHECK(find(k, "rank_A").holds());
  CHECK(k.sufficient());
  CHECK(k.lower_bound().positive());
  CHECK(k.upper_bound > 0);
  CHECK(find(conditions_of(instance, {"W_V"}), "rank_B").holds());
  CHECK((k.lower_bound().value == 0) == (far > 2));
}

TEST_CASE("a common feature of each sample is counted once by softmax") {
  Case c = {"bias", 3, 3, 5, 2, 3, 1};
  ModelPoint<double> instance = make_instance(c);
  auto data = std::make_shared<Data<double>>(*instance.data);
  data->X.col(0).setOnes();
  instance.data = data;
  const MeasuredFactors factors = measured_factors(instance);
  const InitialisationConditions conditions(factors);
  CHECK(conditions.ranks().plain == 5);
  CHECK(conditions.ranks().centred == 4);
  CHECK(conditions.ranks().constant() == 1);
  CHECK(find(conditions.of({"W_V"}), "rank_limit").measured == 2 * 4 + 1);
  CHECK(find(conditions.of({"W_V"}), "rank_B").measured == 9);
}

TEST_CASE("parameters and ranks that the data cannot see do not count, and remedies can help") {
  const auto of = [](const Case& c, const char* block) { return conditions_of(make_instance(c), {block}); };
  // D = 64 features, but only N n = 4 tokens: 3 * 4 * 1 parameters for 16 outputs.
  for (const auto kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const KernelConditions k = of({"unseen", 2, 2, 64, 3, 1, 4, kind}, "W_V");
    CHECK(find(k, "parameters").measured == 12);
    CHECK(find(k, "parameters").threshold == 16);
    CHECK(k.refuted());
    // One column of W_V more for each head does.
    CHECK(find(k, "parameters").remedy.find("d >= 2") == 0);
    CHECK(find(of({"seen", 2, 2, 64, 3, 2, 4, kind}, "W_V"), "parameters").holds());
  }
  // With one feature all queries are parallel.
  CHECK(of({"one feature", 1, 2, 1, 1, 2, 1}, "W_K").refuted());
  CHECK_FALSE(of({"two features", 1, 2, 2, 1, 2, 1}, "W_K").refuted());
  // No number of heads makes the softmax of one token depend on its query.
  const std::string remedy = find(of({"one token", 2, 1, 4, 2, 2, 1}, "W_Q"), "rank_limit").remedy;
  CHECK(remedy.find("two tokens") != std::string::npos);
  CHECK(remedy.find("H >=") == std::string::npos);
  CHECK(find(of({"one token", 3, 1, 2, 2, 2, 1}, "W_V"), "rank_limit").remedy == "D >= 3");
}
