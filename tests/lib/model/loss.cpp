#include "basin/model/loss.h"

#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// sum log(1 + exp(-y f)): convex, not quadratic, its infimum 0 is not attained.
template <class S>
class Logistic final : public Loss<S> {
 public:
  using In = typename Loss<S>::In;
  using Out = typename Loss<S>::Out;

  const LossFacts& facts() const override {
    static const LossFacts facts = {"logistic", "sum log(1 + exp(-Y F))", "sum", false, true, 0, false};
    return facts;
  }
  S value(In F, In Y) const override { return (1 + (-(Y.array() * F.array())).exp()).log().sum(); }
  void gradient(In F, In Y, Out r) const override { r = -Y.array() / (1 + (Y.array() * F.array()).exp()); }
  void hessian_product(In F, In Y, In dF, Out dr) const override { dr = curvature(F, Y) * dF.array(); }
  void factor_transposed(In F, In Y, In dF, Out Z) const override { Z = curvature(F, Y).sqrt() * dF.array(); }
  void factor(In F, In Y, In Z, Out dF) const override { dF = curvature(F, Y).sqrt() * Z.array(); }

 private:
  static Eigen::Array<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> curvature(In F, In Y) {
    const Eigen::Array<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> z = Y.array() * F.array();
    return Y.array().square() / ((1 + z.exp()) * (1 + (-z).exp()));
  }
};

/// The instance under the logistic loss of an architecture that says so.
ModelPoint<double> logistic(const Case& c) {
  static const bool entered = [] {
    add_loss({"logistic", [] { return std::make_unique<Logistic<double>>(); },
              [] { return std::make_unique<Logistic<float>>(); }});
    return true;
  }();
  CHECK(entered);
  ModelPoint<double> x = make_instance(c);
  Architecture architecture = x.model->architecture();
  architecture.loss = "logistic";
  x.model = build<double>(architecture, c.trainable);
  return x;
}

}  // namespace

TEST_CASE("a new loss is one class: every product follows from it") {
  const Case c = {"logistic", 3, 4, 5, 2, 3, 2, KernelKind::gaussian};
  const ModelPoint<double> x = logistic(c);
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
  x.model->loss().factor_transposed(at.outputs(), Y, dF, Z);
  x.model->loss().factor(at.outputs(), Y, Z, r);
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
  CHECK_THROWS_WITH(add_loss({"squared", nullptr, nullptr}), "there is a loss 'squared' already");
  const ModelPoint<double> x = make_instance({"squared", 2, 3, 2, 1, 1, 2});
  CHECK(x.linearize().residual() == x.linearize().outputs() - x.data->Y);
  CHECK(x.linearize().loss_facts().formula == "1/2 |F - Y|^2");
}
