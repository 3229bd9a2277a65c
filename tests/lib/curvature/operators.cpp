#include "basin/curvature/operators.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/cases.h"
#include "support/check_operator.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("Hessian, Gauss-Newton, Jacobian and NTK fit together as dense matrices") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : hard_cases(kind)) {
    if (c.n > 10) continue;  // dense matrices of small cases say it all
    CAPTURE(describe(c));
    const Linearization<double> at = make_instance(c).linearize();
    const Vectors<double> J = assemble(JacobianOperator(at)), Jt = at.jacobian_transposed();
    CHECK((J - Jt.transpose()).norm() <= 1e-13 * J.norm());
    CHECK((assemble(NtkOperator(at)) - J * J.transpose()).norm() <= 1e-13 * (J * J.transpose()).norm());
    CHECK((assemble(GaussNewtonOperator(at)) - Jt * J).norm() <= 1e-13 * (Jt * J).norm());
    CHECK((assemble(GramOperator(at)) - Jt * J).norm() <= 1e-13 * (Jt * J).norm());
    const Vectors<double> H = assemble(HessianOperator(at));
    CHECK((H - H.transpose()).norm() <= 1e-12 * H.norm());

    check_operator(JacobianOperator(at), J.norm());
    check_operator(HessianOperator(at), H.norm());
    if (J.squaredNorm() < 1e-290) continue;  // what makes up products with K and G underflows: they are zeros
    check_operator(NtkOperator(at), J.squaredNorm());
    check_operator(GaussNewtonOperator(at), J.squaredNorm());
  }
}

TEST_CASE("the Hessian of a model that is linear in theta is its Gauss-Newton matrix") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const std::string block = GENERATE("W_V", "W_O");
  Case c = {"linear", 3, 4, 5, 2, 3, 2, kind};
  c.trainable = {block};
  const Linearization<double> at = make_instance(c).linearize();
  const Vectors<double> H = assemble(HessianOperator(at)), G = assemble(GaussNewtonOperator(at));
  CHECK(G.norm() > 1);
  CHECK((H - G).norm() <= 1e-13 * G.norm());
}

TEST_CASE("operators check shapes, count products, and take the adjoint of J") {
  const Linearization<double> at = make_instance({"shapes", 2, 3, 4, 2, 2, 2}).linearize();
  const JacobianOperator J(at);
  const Vectors<double> V = random_vectors(J.cols(), 3, 1), U = random_vectors(J.rows(), 3, 2);
  Vectors<double> JV(J.rows(), 3), JtU(J.cols(), 3);
  J.apply(V, JV);
  J.apply_adjoint(U, JtU);
  CHECK(J.products() == 6);
  CHECK((U.transpose() * JV - JtU.transpose() * V).norm() <= 1e-12 * U.norm() * JV.norm());
  CHECK_THROWS_WITH(J.apply(U, JV), "LinearOperator: apply maps (56, 3) to (12, 3), got (12, 3) to (12, 3)");
  CHECK_THROWS_AS(J.apply_adjoint(V, JtU), InputError);
}
