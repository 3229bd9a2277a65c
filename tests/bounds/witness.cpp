/// The witness of the attack on bounds, held to other ways to the same numbers.
#include <catch2/catch.hpp>

#include "support/cases.h"
#include "support/quad_model.h"
#include "support/reference.h"

using namespace basin;
using namespace basin::test;

namespace {

Real real_of(Quad x) {
  const auto high = static_cast<double>(x);
  const auto low = static_cast<double>(x - Quad(high));
  return Real(high) + Real(low) + Real(static_cast<double>(x - Quad(high) - Quad(low)));
}

/// f with 50 digits, all weights moved by `step`.
Real real_loss(const Case& c, const ModelPoint<double>& p, const RealVector& step) {
  const RealVector w = p.weights.cast<Real>() + step;
  const Index size = c.D * c.d;
  Real loss = 0;
  for (Index i = 0; i < c.N; ++i) {
    const RealMatrix X = p.data->X.middleRows(i * c.n, c.n).cast<Real>();
    RealMatrix F = -p.data->Y.middleRows(i * c.n, c.n).cast<Real>();
    for (Index h = 0; h < c.H; ++h) {
      const auto block = [&](Index b) -> RealMatrix {
        using RowMajor = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
        const Index offset = b < 3 ? (b * c.H + h) * size : 3 * c.H * size + h * c.d * c.D_out;
        return Eigen::Map<const RowMajor>(w.data() + offset, b < 3 ? c.D : c.d, b < 3 ? c.d : c.D_out);
      };
      F += real_outputs(c.spec(), {X * block(0), X * block(1), X * block(2), block(3)});
    }
    loss += F.squaredNorm() / 2;
  }
  return loss;
}

}  // namespace

TEST_CASE("the witness of 113 bits: Jacobian, gradient and Hessian are those of 50 digits") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const double scores = GENERATE(1.0, 60.0);
  Case c = {"quad", 2, 3, 2, 2, 2, 2, kind};
  c.score_scale = scores;
  const ModelPoint<double> p = make_instance(c);
  const QuadModel at = quad_model(c.spec(), p.weights, *p.data);
  const RealMatrix J = real_jacobian(c.spec(), p.weights, *p.data);
  Real distance = 0;
  for (Index i = 0; i < J.rows(); ++i)
    for (Index j = 0; j < J.cols(); ++j)
      distance = std::max(distance, Real(abs(real_of(at.J(i, j)) - J(i, j))));
  CHECK(distance <= Real("1e-28") * J.norm());

  const Index P = p.weights.size();
  const Real h("1e-12");  // truncation h^2, rounding 1e-50 / h^2
  const auto moved = [&](Index a, int s, Index b, int t) {
    RealVector step = RealVector::Zero(P);
    step[a] += s * h, step[b] += t * h;
    return real_loss(c, p, step);
  };
  CHECK(abs(real_of(at.loss) - real_loss(c, p, RealVector::Zero(P))) <= Real("1e-31") * real_of(at.loss));
  for (Index a = 0; a < P; ++a) {
    const Real slope = (moved(a, 1, a, 0) - moved(a, -1, a, 0)) / (2 * h);
    CHECK(abs(slope - real_of(at.gradient[a])) <= Real("1e-18") * real_of(norm_of(at.gradient)));
    for (Index b = a; b < P; b += 3) {
      const Real curved =
          (moved(a, 1, b, 1) - moved(a, 1, b, -1) - moved(a, -1, b, 1) + moved(a, -1, b, -1)) / (4 * h * h);
      Quad value = at.curvature(a, b);
      for (Index row = 0; row < at.J.rows; ++row) value += at.J(row, a) * at.J(row, b);
      CHECK(abs(curved - real_of(value)) <= Real("1e-16") * (J.transpose() * J).norm());
      CHECK(at.curvature(a, b) == at.curvature(b, a));
    }
  }
}

TEST_CASE("the witness of 113 bits: eigenvalues and singular values that are known") {
  // The second difference matrix: 2 - 2 cos(j pi / (n + 1)); for n = 5 that is 2 -+ sqrt 3, 1, 2, 3.
  QuadMatrix A(5, 5);
  for (Index i = 0; i < 5; ++i) {
    A(i, i) = 2;
    if (i > 0) A(i, i - 1) = A(i - 1, i) = -1;
  }
  // Turned by a reflection, so that all entries are in use.
  QuadMatrix Q(5, 5);
  for (Index i = 0; i < 5; ++i)
    for (Index j = 0; j < 5; ++j) Q(i, j) = Quad(i == j) - Quad(2 * (i + 1) * (j + 1)) / 55;
  const QuadVector exact = {2 - sqrtq(3), 1, 2, 3, 2 + sqrtq(3)};
  for (const QuadMatrix& M : {A, product(Q, product(A, Q))}) {
    const QuadVector values = eigenvalues_of(M), sigma = singular_values_of(M);
    for (Index i = 0; i < 5; ++i) {
      CHECK(abs_of(values[i] - exact[i]) <= Quad(1e-31));
      CHECK(abs_of(sigma[4 - i] - exact[i]) <= Quad(1e-31));
    }
  }
  // Rows of very different sizes: rank one, and a tiny second singular value.
  QuadMatrix B(3, 2);
  B(0, 0) = Quad(1e-200) * Quad(1e-200), B(1, 1) = 1, B(2, 1) = 1;
  const QuadVector sigma = singular_values_of(B);
  CHECK(abs_of(sigma[0] - sqrtq(2)) <= Quad(1e-32));
  CHECK(abs_of(sigma[1] / (Quad(1e-200) * Quad(1e-200)) - 1) <= Quad(1e-32));
  CHECK(sigma[2] == 0);
  QuadMatrix tiny = A;
  for (Quad& x : tiny.values) x *= expq(-8000);  // 1e-3474, whose square underflows
  for (Index i = 0; i < 5; ++i)
    CHECK(abs_of(singular_values_of(tiny)[4 - i] / expq(-8000) - exact[i]) <= Quad(1e-31));
}
