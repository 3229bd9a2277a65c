#include "basin/stationary/polish.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/stationary/classify.h"
#include "support/cases.h"
#include "support/loss.h"
#include "support/stationary.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("polishing goes back to stationary points of any index, by either kind of step") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const Index dense_limit : {1200, 0}) {
      Case c = {"polish", 6, 4, 3, 1, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c), 0.3);
      const ModelLoss loss = loss_of(x);
      ModelObjective f = loss.objective();
      const Vector<double> there = x.theta(), away = there + 1e-4 * random_vectors(there.size(), 1, 3).col(0);
      PolishOptions options;
      options.dense_limit = dense_limit;
      const Polished p = polish(loss, f, *f.at(away), options);
      CAPTURE(kernel_name(kind), dense_limit, p.first_gradient, p.at.gradient.norm(), p.rounding.gradient,
              p.steps);
      CHECK(p.first_gradient > 1e-5);
      CHECK(p.at.gradient.norm() <= p.rounding.gradient);
      CHECK(p.steps <= 6);  // quadratic: 1e-4, 1e-8, 1e-16, and the symmetries bend
      CHECK(p.length <= 1e-2);
      CHECK(std::abs(p.at.loss - 0.045) <= 1e-12);  // 0.3^2 / 2: the loss of that point, and no other's
      // f is left there
      CHECK((f.here().gradient() - p.at.gradient).norm() == 0);
    }
}

TEST_CASE("a Newton step that raises the gradient is taken where the next ones lead to the point") {
  Index raised = 0;
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (std::uint64_t seed = 1; seed <= 32; ++seed) {
      const Case c = {"raised", 8, 4, 3, 1, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c, seed), 1e-3);
      const ModelLoss loss = loss_of(x);
      ModelObjective f = loss.objective();
      const StationaryPoint p = classify(loss, f, *f.at(x.theta()));
      if (p.kind != PointKind::strict_minimum) continue;
      for (const double away : {0.03, 0.1}) {
        // along the bottom of the valley, down to its curve: the gradient is that of the softest direction
        const Iterate start = *f.at(x.theta() + away * p.curvature.soft_move.normalized());
        const Symmetries symmetries = loss.theory->symmetries(f.point_at(start.theta));
        const Vector<double> step =
            newton_steps(f, [&](VectorsRef<double> V) { symmetries.remove(V); })(start.gradient);
        const std::optional<Iterate> there = f.at(start.theta + step);
        if (!there || there->gradient.norm() <= start.gradient.norm()) continue;
        // from there on Newton's method, undamped, goes to the point
        Vector<double> theta = there->theta;
        bool converges = false;
        for (int i = 0; i < 6 && !converges; ++i) {
          const std::optional<Iterate> at = f.at(theta);
          if (!at) break;
          const Symmetries here = loss.theory->symmetries(f.point_at(theta));
          theta += newton_steps(f, [&](VectorsRef<double> V) { here.remove(V); })(at->gradient);
          const std::optional<Iterate> next = f.at(theta);
          converges = next && next->gradient.norm() <= p.rounding.gradient &&
                      std::abs(next->loss - p.at.loss) <= 1e-12;
        }
        if (!converges) continue;
        ++raised;
        const Polished polished = polish(loss, f, *f.at(start.theta));
        CAPTURE(kernel_name(kind), seed, away, start.gradient.norm(), there->gradient.norm(),
                polished.at.gradient.norm(), polished.rounding.gradient, polished.steps);
        CHECK(polished.at.gradient.norm() <= polished.rounding.gradient);
        CHECK(polished.steps <= 6);  // up to 10 where such steps are not taken
      }
    }
  CAPTURE(raised);
  CHECK(raised >= 2);
}

TEST_CASE("towards zero loss the residual gets to its rounding, also where J is ill-conditioned") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    Case c = {"zero", 2, 3, 8, 2, 3, 2, kind};
    ModelPoint<double> x = make_instance(c);
    auto data = std::make_shared<Data<double>>(*x.data);
    data->X.row(1) = data->X.row(0) + 1e-4 * data->X.row(1);  // two tokens that are hardly different
    x.data = data;
    data->Y = x.linearize().outputs();
    const ModelLoss loss = loss_of(x);
    ModelObjective f = loss.objective();
    const Iterate start = *f.at(x.theta() + 1e-2 * random_vectors(x.theta().size(), 1, 3).col(0));
    const Iterate end = polish_to_zero(f, start);
    const Rounding rounding = rounding_at(f.here());
    CAPTURE(start.loss, end.loss, rounding.residual);
    CHECK(start.loss > 1e-6);
    CHECK(std::sqrt(2 * end.loss) <= rounding.residual);
    CHECK(rounding.residual <= 1e-12 * data->Y.norm());
  }
}

TEST_CASE("Newton's step from products is that of the dense Hessian on the complement") {
  Case c = {"step", 4, 3, 3, 1, 2, 2};
  const ModelPoint<double> x = make_instance(c);
  const ModelLoss loss = loss_of(x);
  ModelObjective f = loss.objective();
  const Iterate at = *f.at(x.theta());
  const Symmetries symmetries = loss.theory->symmetries(x);
  const Index P = f.size();
  Vectors<double> H(P, P);
  f.hessian(Vectors<double>::Identity(P, P), H);
  for (int side = 0; side < 2; ++side) symmetries.remove(H), H.transposeInPlace();
  const SymmetricEigen eigen = symmetric_eigen(H, true);
  Vector<double> expected = Vector<double>::Zero(P);
  for (Index i = 0; i < P; ++i)
    if (std::abs(eigen.values[i]) > 1e-10)
      expected -= eigen.vectors.col(i) * (eigen.vectors.col(i).dot(at.gradient) / eigen.values[i]);
  const auto remove = [&](VectorsRef<double> V) { symmetries.remove(V); };
  const Vector<double> step = newton_steps(f, remove)(at.gradient);
  CHECK((step - expected).norm() <= 1e-5 * expected.norm());  // conjugate gradients to 1e-8 of H times that
  CHECK((newton_steps(f, remove, 1e-12)(at.gradient) - expected).norm() <= 1e-8 * expected.norm());
}
