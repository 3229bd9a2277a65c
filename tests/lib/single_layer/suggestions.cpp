#include "basin/single_layer/suggestions.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

Suggestions suggest_at(const ModelPoint<double>& point, const SuggestionOptions& options = {}) {
  const MeasuredFactors factors = measured_factors(point);
  const std::vector<std::string> trained = point.parameters().trained();
  const KernelMinimum sum = with_conditions(kernel_minima(point, factors, {trained}).minima.back(),
                                            InitialisationConditions(factors).of(trained));
  const CertificateInput input = certificate_input(point, sum);
  return suggest(point, sum, input, ball_certificate(input), options);
}

}  // namespace

TEST_CASE("what is suggested passes") {
  Case c = {"suggestions", 2, 2, 6, 2, 3, 2};
  c.trainable = {"W_V", "W_O"};
  ModelPoint<double> point = make_instance(c);
  auto data = std::make_shared<Data<double>>(*point.data);
  data->Y = 2 * point.linearize().outputs();  // attained with W_V or W_O twice as large
  point.data = data;
  REQUIRE_FALSE(certificate_at(point).passes);
  Index told = 0;
  SuggestionOptions options;
  options.status = [&](const std::string&) { ++told; };
  const Suggestions found = suggest_at(point, options);
  CHECK(told > 0);
  REQUIRE(found.gains.size() == attention_blocks().size());
  Index passing = 0;
  for (const Suggestions::Gain& g : found.gains) {
    if (!g.gain) continue;
    CAPTURE(g.block, *g.gain);
    CHECK(std::abs(std::log(*g.gain)) <= std::log(options.largest_gain) + 1e-6);
    ModelPoint<double> scaled = point;
    const auto& entry = point.parameters().find(g.block);
    scaled.weights.segment(entry.offset, entry.block.size()) *= *g.gain;
    CHECK(certificate_at(scaled).passes);
    ++passing;
  }
  CHECK(passing > 0);
}

TEST_CASE("targets near the outputs pass with a range of scalings around 1, and no gain is needed") {
  const Case c = {"suggested targets", 2, 2, 6, 2, 3, 2};
  ModelPoint<double> point = make_instance(c);
  auto data = std::make_shared<Data<double>>(*point.data);
  data->Y = point.linearize().outputs();
  point.data = data;
  const Suggestions found = suggest_at(point);
  REQUIRE(found.targets);
  CHECK(found.targets->low < 1);
  CHECK(found.targets->high > 1);
  for (const double end : {found.targets->low, found.targets->high}) {
    auto scaled = std::make_shared<Data<double>>(*data);
    scaled->Y *= end;
    CHECK(certificate_at({point.model, point.weights, scaled}).passes);
  }
  for (const Suggestions::Gain& g : found.gains) CHECK(g.gain == 1);
}
