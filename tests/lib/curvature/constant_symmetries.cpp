#include "basin/curvature/constant_symmetries.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "support/language_model.h"

using namespace basin;
using namespace basin::test;

namespace {

Symmetries known(const ModelPoint<double>& p) {
  return {p.theta_size(), constant_symmetries(p)};
}

}  // namespace

TEST_CASE("key biases and the class shift change no loss, are orthogonal to the gradient, and null vectors") {
  for (const bool tied : {false, true}) {
    const ModelPoint<double> p = language_point(language_model("cross-entropy", tied));
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
  CHECK(known(language_point(language_model("squared"))).modes() == 4);                  // no class shift
  CHECK(known(language_point(language_model("cross-entropy", false, 2))).modes() == 5);  // rotary positions
  CHECK(known(language_point(language_model("cross-entropy", false, 0, "gaussian"))).modes() == 5);
  CHECK(known(language_point(language_model("cross-entropy"), {"embedding.E"})).modes() == 0);  // held fixed
  Architecture shared = language_model("cross-entropy");
  shared.layers.insert(
      shared.layers.begin() + 1,
      {"chain",
       {},
       "up",
       {{"linear", {{"outputs", Index{5}}, {"bias", false}}, "a"},
        {"linear", {{"outputs", Index{4}}, {"bias", false}, {"weight.tied", "head.W"}}, "b"}}});
  CHECK(known(language_point(shared)).modes() == 5);  // head.W is used elsewhere
}

TEST_CASE("directions of blocks that outputs, or their differences, do not depend on") {
  const ModelPoint<double> p = language_point(language_model("cross-entropy"));
  const Linearization<double> at = p.linearize();
  const Vectors<double> Jt = at.jacobian_transposed();
  for (const std::string& block : p.parameters().trained()) {
    const auto& e = p.parameters().find(block);
    Vectors<double> part = Jt.middleRows(e.theta_offset, e.block.size());
    const auto dependent = [&] {
      return e.block.size() - (singular_values(part).array() > 1e-10 * Jt.norm()).count();
    };
    CAPTURE(block);
    CHECK(unseen_directions(*p.model, {block}, false) <= dependent());
    for (Index row = 0; row < part.cols(); row += 5)
      part.middleCols(row, 5).colwise() -= part.middleCols(row, 5).rowwise().mean().eval();
    CHECK(unseen_directions(*p.model, {block}, true) <= dependent());
  }
  CHECK(unseen_directions(*p.model, {"attention.b_K"}, false) == 4);
  CHECK(unseen_directions(*p.model, {"attention.b_K", "head.b", "head.W"}, true) == 4 + 1 + 4);
  CHECK(unseen_directions(*p.model, {"head.W"}, false) == 0);
}
