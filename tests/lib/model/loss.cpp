#include "basin/model/loss.h"

#include <catch2/catch.hpp>

#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"
#include "support/logistic_loss.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a new loss is one class: every product follows from it") {
  const Case c = {"logistic", 3, 4, 5, 2, 3, 2, KernelKind::gaussian};
  const ModelPoint<double> x = logistic(make_instance(c));
  const Linearization<double> at = x.linearize();
  const Vector<double> theta = x.theta(), v = random_vectors(theta.size(), 1, 3).col(0);
  Vectors<double> Hv(theta.size(), 1), Gv(theta.size(), 1), Jv(at.output_size(), 1), JtU(theta.size(), 1);
  at.hessian(v, Hv);
  at.gauss_newton(v, Gv);
  at.jvp(v, Jv);
  const auto loss = [&](double t) -> Vector<double> {
    return Vector<double>::Constant(1, x.at(theta + t * v).linearize().loss());
  };
  const auto gradient = [&](double t) -> Vector<double> {
    return x.at(theta + t * v).linearize().gradient();
  };
  // the truncation of the difference is 1e-12, rounding 1e-16 / 1e-3
  CHECK(central_difference(loss, 1e-3)[0] == Approx(at.gradient().dot(v)).epsilon(1e-9));
  CHECK((central_difference(gradient, 1e-3) - Hv.col(0)).norm() <= 1e-9 * Hv.norm());

  // G v = J^T L L^T J v
  const Matrix<double>& Y = x.data->Y;
  Matrix<double> dF(Y.rows(), Y.cols()), Z = dF, r = dF;
  dF = Jv.col(0).reshaped<Eigen::RowMajor>(Y.rows(), Y.cols());
  x.model->loss().factor_transposed(at.outputs(), {Y}, dF, Z);
  x.model->loss().factor(at.outputs(), {Y}, Z, r);
  at.vjp(Vectors<double>(r.reshaped<Eigen::RowMajor>()), JtU);
  CHECK((JtU - Gv).norm() <= 1e-14 * Gv.norm());
  // the residual is what the gradient is made of
  at.vjp(Vectors<double>(at.residual().reshaped<Eigen::RowMajor>()), JtU);
  CHECK((JtU.col(0) - at.gradient()).norm() <= 1e-14 * at.gradient().norm());
}

TEST_CASE("what only a quadratic loss has is refused of another one, and names are checked") {
  CHECK(residual_norm(SquaredLoss<double>().facts(), 8) == 4);
  CHECK_THROWS_WITH(residual_norm(Logistic<double>().facts(), 8),
                    "the loss sum log(1 + exp(-Y F)) does not say how large the residual is");
  CHECK_THROWS_WITH(add_loss({"squared", {}, nullptr, nullptr}), "there is a loss 'squared' already");
  const ModelPoint<double> x = make_instance({"squared", 2, 3, 2, 1, 1, 2});
  CHECK(x.linearize().residual() == x.linearize().outputs() - x.data->Y);
  CHECK(x.linearize().loss_facts().formula == "1/2 |F - Y|^2");
}
