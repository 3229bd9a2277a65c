#include "basin/single_layer/gain_bounds.h"

#include <catch2/catch.hpp>

#include "basin/model/perturbation.h"
#include "basin/single_layer/certificate_input.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

struct Situation {
  Case c;
  ModelPoint<double> x;

  KernelMinimum sum(const ModelPoint<double>& point) const {
    const MeasuredFactors factors = measured_factors(point);
    return with_conditions(kernel_minima(point, factors, {c.trainable}).minima.back(),
                           InitialisationConditions(factors).of(c.trainable));
  }
  ModelPoint<double> scaled(const std::string& block, double gain) const {
    ModelPoint<double> other = x;
    const auto& entry = x.parameters().find(block);
    other.weights.segment(entry.offset, entry.block.size()) *= gain;
    return other;
  }
  Certificate certify(const std::string& block, double gain) const {
    const ModelPoint<double> point = scaled(block, gain);
    const CertificateInput input =
        certificate_input(point.linearize({.memory = 0}), linearize_perturbed(point), sum(point));
    return ball_certificate(input.norms, input.s0, input.S0, input.r0);
  }
  GainBounds bounds(const std::string& block) const { return {x, sum(x), block}; }
};

Situation random_situation(KernelKind kind, const std::vector<std::string>& trained, std::uint64_t seed) {
  Case c = {"gains", 2, 2, 6, 2, 3, 2, kind};
  c.trainable = trained;
  return {c, make_instance(c, seed)};
}

}  // namespace

TEST_CASE("where gains are excluded the certificate fails", "[many]") {
  Index excluded = 0;
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const auto& trained : std::vector<std::vector<std::string>>{
             attention_blocks(), {"W_V", "W_O"}, {"W_Q", "W_K"}, {"W_K", "W_V"}})
      for (const std::string& block : attention_blocks()) {
        const Situation s = random_situation(kind, trained, 3);
        GainBounds bounds = s.bounds(block);
        for (double low = 1.0 / 64; low < 64; low *= 4) {
          const double high = 2 * low;
          if (!bounds.excludes(low, high)) continue;
          ++excluded;
          for (const double gain : {low, 1.3 * low, 1.7 * low, high}) {
            CAPTURE(describe(s.c), block, low, gain);
            CHECK_FALSE(s.certify(block, gain).passes);
          }
        }
      }
  CHECK(excluded > 100);
}

TEST_CASE("no gain is searched where none can pass") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const Situation s = random_situation(kind, attention_blocks(), 4);
    for (const std::string& block : attention_blocks()) {
      CAPTURE(kernel_name(kind), block);
      GainBounds bounds = s.bounds(block);
      Index certified = 0;
      const auto certify = [&](double gain) {
        ++certified;
        return s.certify(block, gain);
      };
      CHECK_FALSE(passing_gain(certify, 64, [&](double a, double b) { return bounds.excludes(a, b); }));
      CHECK(certified == 0);
      CHECK(bounds.evaluations() < 3000);
    }
  }
}

TEST_CASE("a gain that makes the residual vanish is found all the same", "[many]") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const auto& [block, gain] : {std::pair("W_O", 3.0), {"W_V", 0.4}, {"W_Q", 1.9}, {"W_K", 0.7}}) {
      Situation s = random_situation(kind, attention_blocks(), 5);
      auto data = std::make_shared<Data<double>>(*s.x.data);
      data->Y = s.scaled(block, gain).linearize({.memory = 0}).outputs();
      s.x.data = data;
      GainBounds bounds = s.bounds(block);
      CAPTURE(kernel_name(kind), block);
      CHECK_FALSE(bounds.excludes(gain / 1.1, gain * 1.1));
      CHECK_FALSE(bounds.excludes(gain, gain));
      const auto certify = [&, block = block](double g) { return s.certify(block, g); };
      const auto with = passing_gain(certify, 4, [&](double a, double b) { return bounds.excludes(a, b); });
      CHECK(with == passing_gain(certify, 4));
    }
}

TEST_CASE("a kernel that is singular by its sizes is so at every gain") {
  Case c = {"singular", 4, 4, 3, 1, 2, 3, KernelKind::softmax};
  const Situation s = {c, make_instance(c)};
  for (const std::string& block : attention_blocks()) CHECK(s.bounds(block).excludes(1e-3, 1e3));
}
