#include "basin/stationary/search.h"

#include <catch2/catch.hpp>

#include "basin/problem/constructions.h"
#include "basin/stationary/gradient_descent.h"
#include "basin/stationary/gradient_norm.h"
#include "support/cases.h"
#include "support/loss.h"
#include "support/quadratic.h"
#include "support/stationary.h"

using namespace basin;
using namespace basin::test;

namespace {

SearchOptions with_step(double eta, Index steps = 500) {
  SearchOptions options;
  options.method = [eta](Objective&, const Iterate&, double share) {
    return std::make_unique<const GradientDescent>(share * eta);
  };
  options.stopping = {.gradient = 1e-6, .steps = steps};
  return options;
}

ModelLoss trap(const std::vector<std::string>& trained) {
  const Construction c = construction("softmax-trap");
  const AttentionSpec spec = c.problem.spec(c.problem.network, 1, 1);
  return loss_of({build_single_attention<double>(spec, trained), c.problem.network.weights->values,
                  std::make_shared<Data<double>>(c.problem.data)});
}

}  // namespace

TEST_CASE("descent near the trap ends in it, polished; far enough away it does not") {
  const ModelLoss loss = trap({"W_Q"});
  const Found in = search(loss, Vector<double>::Constant(4, 0.1), Target::minima, with_step(0.1));
  CHECK(in.point.kind == PointKind::strict_minimum);
  CHECK(in.point.at.theta.norm() <= 1e-13);
  CHECK(in.point.at.gradient.norm() <= in.point.rounding.gradient);
  CHECK(in.start_loss > in.descent_loss);
  CHECK(in.distance == Approx(0.2));
  const Found out = search(loss, Vector<double>::Constant(4, 2), Target::minima, with_step(0.1));
  CHECK(out.point.kind == PointKind::zero_loss);
}

TEST_CASE("a saddle that descent starts at is left; a search for any index stays") {
  const ModelLoss loss = trap({"W_Q", "W_K"});
  const Vector<double> start = loss.point.parameters().extract(loss.point.weights);
  const Found down = search(loss, start, Target::minima, with_step(0.05));
  CHECK(down.escapes >= 1);
  CHECK(down.descent_steps > 0);  // after it: at the saddle there are none
  CHECK(down.point.kind == PointKind::zero_loss);
  CHECK(down.point.at.loss < down.start_loss);
  const Found any = search(loss, start, Target::any, with_step(0.05));
  CHECK(any.escapes == 0);
  CHECK(any.point.kind == PointKind::saddle);
  CHECK(any.distance <= 1e-12);
  SearchOptions no_escapes = with_step(0.05);
  no_escapes.escapes = 0;
  CHECK(search(loss, start, Target::minima, no_escapes).point.kind == PointKind::saddle);
}

TEST_CASE("escape: both signs are tried, the fall is what is measured, and a minimum has none") {
  Vector<double> lambda = Vector<double>::LinSpaced(4, -1, 2);
  Quadratic f(Quadratic::diagonal(lambda), Vector<double>::Zero(4));
  const Iterate x = *f.at(Vector<double>::Zero(4));
  const auto away = escape(f, x, Vector<double>::Unit(4, 0), -1, 1e-16);
  REQUIRE(away);
  CHECK(away->fall < 0);
  CHECK(away->fall == away->at.loss - x.loss);
  CHECK(away->predicted == Approx(away->fall));  // of a quadratic
  const auto near = escape(f, x, Vector<double>::Unit(4, 0), -1, 1e-16, Reach::visible);
  REQUIRE(near);
  CHECK(near->fall < -1e-16);
  CHECK(std::abs(near->step) < 1e-6 * std::abs(away->step));
  CHECK_FALSE(escape(f, x, Vector<double>::Unit(4, 3), 2, 1e-16));
  // a direction along which the loss does not fall is not believed, whatever is said of its curvature
  CHECK_FALSE(escape(f, x, Vector<double>::Unit(4, 3), -1, 1e-16));
}

TEST_CASE("escape: a rounding that was measured as zero, and a first step that rounding hides") {
  // f = 1 - t^2 / 2 in the first coordinate: steps below 1e-8 change no digit
  class Hidden final : public Objective {
   public:
    Hidden() : Objective(1) {}

   private:
    double do_loss(const Vector<double>& theta) override { return 1 - theta[0] * theta[0] / 2; }
    std::optional<Iterate> do_at(Vector<double> theta) override {
      const double loss = do_loss(theta);
      return Iterate{theta, loss, -theta};
    }
    void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) override { HV = -V; }
  } f;
  const auto away = escape(f, *f.at(Vector<double>::Zero(1)), Vector<double>::Ones(1), -1, 0);
  REQUIRE(away);
  CHECK(away->fall < -0.1);
}

TEST_CASE("a step too large is reported with one that is not") {
  const Case c = {"large steps", 2, 2, 6, 2, 3, 2};
  const ModelPoint<double> x = make_instance(c);
  const ModelLoss loss = loss_of(x);
  const Found lost = search(loss, x.theta(), Target::minima, with_step(1e3));
  CHECK(lost.not_finite);
  CHECK(lost.point.kind == PointKind::not_finite);
  CHECK(lost.point.at.theta.allFinite());
  REQUIRE(lost.safe_step > 0);
  const Found safe = search(loss, x.theta(), Target::minima, with_step(lost.safe_step));
  CHECK_FALSE(safe.not_finite);
  CHECK(safe.descent_loss < safe.start_loss);
  CHECK(lost.taken.first == 1e3);
  CHECK(lost.taken.first_share > 1);
}

TEST_CASE("a point that is given is not moved far") {
  const ModelLoss loss = trap({"W_Q", "W_K"});
  const Vector<double> at = loss.point.parameters().extract(loss.point.weights);
  CHECK(examine(loss, at).point.kind == PointKind::saddle);
  const Found near = examine(loss, at + 1e-6 * Vector<double>::Ones(8));
  CHECK(near.point.kind == PointKind::saddle);
  CHECK(near.polish_steps > 0);
  const Vector<double> away = at + 0.3 * Vector<double>::Ones(8);
  const Found far = examine(loss, away);
  CHECK(far.point.kind == PointKind::not_stationary);
  CHECK((far.point.at.theta - away).norm() == 0);
}

TEST_CASE("the gradient of |grad f|^2 / 2 is H g") {
  const Case c = {"gradient norm", 2, 3, 3, 1, 2, 2, KernelKind::gaussian};
  const ModelPoint<double> x = make_instance(c);
  ModelObjective f(x);
  GradientNorm phi(f);
  const Vector<double> theta = x.theta(), v = random_vectors(theta.size(), 1, 4).col(0);
  const Iterate at = *phi.at(theta);
  CHECK(at.loss == f.at(theta)->gradient.squaredNorm() / 2);
  const auto along = [&](double t) { return Vector<double>::Constant(1, phi.loss(theta + t * v)); };
  CHECK(at.gradient.dot(v) == Approx(central_difference(along, 1e-3)[0]).epsilon(1e-8));
  // products are those of H H
  phi.at(theta);
  Vectors<double> Hv(v.size(), 1), HHv(v.size(), 1), twice(v.size(), 1);
  f.hessian(v, Hv), f.hessian(Hv, HHv), phi.hessian(v, twice);
  CHECK((HHv - twice).norm() == 0);
}
