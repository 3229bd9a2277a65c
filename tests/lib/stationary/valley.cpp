#include "basin/stationary/valley.h"

#include <catch2/catch.hpp>

#include "support/language_model.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("growth along symmetries alone is no valley; the same growth elsewhere is one") {
  const ModelPoint<double> p = language_point(language_model("cross-entropy"));
  const NetworkTheory theory(p);
  CHECK(theory.symmetries(p).modes() == 73);
  CHECK(theory.symmetries(p).left_out().empty());
  const Extent before = extent_of(theory, p);
  for (const char* block : {"residual.attention.b_K", "attention.b_K", "head.b", "embedding.E"}) {
    ModelPoint<double> grown = p;
    const auto& entries = p.parameters().entries();
    const auto e =
        std::find_if(entries.begin(), entries.end(), [&](const auto& x) { return x.block.name == block; });
    if (e == entries.end()) continue;
    // the same for all numbers of a token is a symmetry of an embedding behind which norms stand
    auto part = grown.weights.segment(e->offset, e->block.size());
    if (std::string(block) == "embedding.E")
      part += 10 * p.weights.norm() * random_vectors(part.size(), 1, 7).col(0);
    else
      part.array() += 10 * p.weights.norm();
    const bool symmetry = std::string(block) != "embedding.E";
    const Growth g = growth_between(p.theta(), grown.theta(), theory.symmetries(grown));
    CAPTURE(block, g.before, g.now);
    CHECK(g.now == Approx(grown.theta().norm()));
    CHECK((g.factor() > 1.5) == !symmetry);
    if (symmetry) CHECK(valley_of(theory, grown, extent_of(theory, grown), &before) == Valley::none);
  }
}

TEST_CASE("a run that stalls above the least loss while weights grow is a bad valley, and only then") {
  const ModelPoint<double> p = language_point(language_model("cross-entropy"));
  const NetworkTheory theory(p);
  const Vector<double> start = p.theta(), g = random_vectors(p.theta_size(), 1, 5).col(0);
  const auto at = [&](double grown, double loss, double slope) {
    return Iterate{grown * start, loss, slope * g / g.norm()};
  };
  const auto seen = [&](const Iterate& before, const Iterate& now, double least = 0) {
    return outlook_of(theory, p, before.theta, before, now, least).valley;
  };
  const Iterate before = at(1, 0.7, 1e-4), now = at(1.2, 0.6999, 1e-7);
  CHECK(seen(before, now) == Valley::exploding);
  const Outlook o = outlook_of(theory, p, before.theta, before, now, 0);
  CHECK(o.growth.factor() > 1.05);  // of 1.2: the rest is along symmetries
  CHECK((o.loss_before == 0.7 && o.loss == 0.6999 && o.gradient_before == Approx(1e-4)));
  CHECK(seen(before, at(1.2, 0.6, 1e-7)) == Valley::none);              // still falling
  CHECK(seen(before, at(1.2, 0.6999, 1e-2)) == Valley::none);           // not flat
  CHECK(seen(before, at(1.001, 0.6999, 1e-7)) == Valley::none);         // no growth: a minimum
  CHECK(seen(before, at(1.2, 0.6999, 1e-7), 0.69989) == Valley::none);  // what is left still falls
  CHECK(seen(before, at(1.2, 0.6999, 1e-7), 0.6999) == Valley::none);   // at the least there is
  Iterate shifted = at(1, 0.6999, 1e-7);
  const auto& b = p.parameters().find("head.b");
  shifted.theta.segment(b.theta_offset, b.block.size()).array() += start.norm();
  CHECK(seen(before, shifted) == Valley::none);
  CHECK(outlook_of(theory, p, before.theta, before, shifted, 0).along_symmetries);
}
