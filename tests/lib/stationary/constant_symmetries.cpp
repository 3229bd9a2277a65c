#include "basin/stationary/constant_symmetries.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/stationary/valley.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

Architecture language_model(const char* loss, bool tied = false, Index rotary = 0,
                            const char* kernel = "softmax") {
  LayerDescription attention = {
      "attention", {{"heads", Index{2}}, {"head-dim", Index{2}}, {"kernel", kernel}, {"bias", "qkvo"}}};
  if (rotary > 0) attention.options["rotary.dimensions"] = rotary;
  LayerDescription head = {"linear", {{"outputs", Index{5}}}, "head"};
  if (tied) head.options["weight.tied"] = std::string("embedding.E");
  return {.input = {3, 0},
          .vocabulary = 5,
          .layers = {{"embedding", {{"width", Index{4}}, {"vocabulary", Index{5}}}},
                     {"residual", {}, "", {{"layer-norm"}, attention}},
                     head},
          .loss = {loss, {}}};
}

ModelPoint<double> point_of(const Architecture& a, const std::vector<std::string>& trained = {"*"}) {
  const auto model = build<double>(a, matching_blocks(trained, blocks(a)));
  Data<double> data = {2, Matrix<double>(6, 0), {}};
  data.ids = {0, 1, 2, 3, 4, 0};
  if (a.loss.type == "squared")
    data.Y = random_vectors(6, 5, 2);
  else
    data.labels = {1, 2, 0, 4, 3, 1};
  return {model, random_vectors(model->parameters().weight_count(), 1, 8),
          std::make_shared<Data<double>>(data)};
}

Symmetries known(const ModelPoint<double>& p) {
  return {p.theta_size(), constant_symmetries(p)};
}

}  // namespace

TEST_CASE("key biases and the class shift change no loss, are orthogonal to the gradient, and null vectors") {
  for (const bool tied : {false, true}) {
    const ModelPoint<double> p = point_of(language_model("cross-entropy", tied));
    const Symmetries s = known(p);
    // b_K: 2 x 2; head.b: 1; head.W: 4, unless it is the embedding
    CHECK(s.modes() == (tied ? 5 : 9));
    const Linearization<double> at = p.linearize();
    Vectors<double> T(p.theta_size(), 3), HT(p.theta_size(), 3);
    s.project(random_vectors(p.theta_size(), 3, 4), T);
    at.hessian(T, HT);
    Vectors<double> H(p.theta_size(), p.theta_size());
    at.hessian(Vectors<double>::Identity(p.theta_size(), p.theta_size()), H);
    CHECK(HT.norm() <= 1e-14 * H.norm() * T.norm());
    CHECK((T.transpose() * at.gradient()).norm() <= 1e-14 * at.gradient().norm() * T.norm());
    for (const double t : {1.0, -30.0})
      CHECK(p.at(p.theta() + t * T.col(0)).linearize().loss() == Approx(at.loss()).epsilon(1e-12));
    // a projector, of that rank
    Vectors<double> twice = T;
    s.project(T, twice);
    CHECK((twice - T).norm() <= 1e-14 * T.norm());
    Vectors<double> all(p.theta_size(), p.theta_size());
    s.project(Vectors<double>::Identity(p.theta_size(), p.theta_size()), all);
    CHECK(all.trace() == Approx(static_cast<double>(s.modes())));
  }
}

TEST_CASE("what is no symmetry is not taken for one") {
  CHECK(known(point_of(language_model("squared"))).modes() == 4);                  // no class shift
  CHECK(known(point_of(language_model("cross-entropy", false, 2))).modes() == 5);  // rotary positions
  CHECK(known(point_of(language_model("cross-entropy", false, 0, "gaussian"))).modes() == 5);
  CHECK(known(point_of(language_model("cross-entropy"), {"embedding.E"})).modes() == 0);  // held fixed
  Architecture shared = language_model("cross-entropy");
  shared.layers.insert(
      shared.layers.begin() + 1,
      {"chain",
       {},
       "up",
       {{"linear", {{"outputs", Index{5}}, {"bias", false}}, "a"},
        {"linear", {{"outputs", Index{4}}, {"bias", false}, {"weight.tied", "head.W"}}, "b"}}});
  CHECK(known(point_of(shared)).modes() == 5);  // head.W is used elsewhere
}

TEST_CASE("growth along symmetries alone is no valley; the same growth elsewhere is one") {
  const ModelPoint<double> p = point_of(language_model("cross-entropy"));
  const NetworkTheory theory(p);
  CHECK(theory.symmetries(p).modes() == 9);
  CHECK(theory.symmetries(p).left_out() == "others of this network, which are not known");
  const Extent before = extent_of(theory, p);
  for (const char* block : {"residual.attention.b_K", "attention.b_K", "head.b", "embedding.E"}) {
    ModelPoint<double> grown = p;
    const auto& entries = p.parameters().entries();
    const auto e =
        std::find_if(entries.begin(), entries.end(), [&](const auto& x) { return x.block.name == block; });
    if (e == entries.end()) continue;
    grown.weights.segment(e->offset, e->block.size()).array() += 10 * p.weights.norm();
    const bool symmetry = std::string(block) != "embedding.E";
    const Growth g = growth_between(p.theta(), grown.theta(), theory.symmetries(grown));
    CAPTURE(block, g.before, g.now);
    CHECK(g.now == Approx(grown.theta().norm()));
    CHECK((g.factor() > 1.5) == !symmetry);
    if (symmetry) CHECK(valley_of(theory, grown, extent_of(theory, grown), &before) == Valley::none);
  }
}

TEST_CASE("a run that stalls above the least loss while weights grow is a bad valley, and only then") {
  const ModelPoint<double> p = point_of(language_model("cross-entropy"));
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
  CHECK(o.growth.factor() > 1.1);
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
