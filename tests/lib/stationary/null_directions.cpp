#include "basin/stationary/null_directions.h"

#include <catch2/catch.hpp>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

/// The span of orthonormal vectors.
class Span final : public SymmetryFamily {
 public:
  explicit Span(Vectors<double> basis) : basis_(std::move(basis)) {}
  Index dimension() const override { return basis_.cols(); }
  void add_projection(const double* v, double* out) const override {
    const Index P = basis_.rows();
    Eigen::Map<Vector<double>>(out, P) +=
        basis_ * (basis_.transpose() * Eigen::Map<const Vector<double>>(v, P));
  }

 private:
  Vectors<double> basis_;
};

/// Two families, one after the other, that span the columns of X.
Symmetries symmetries_along(const Vectors<double>& X) {
  const Index half = X.cols() / 2;
  std::vector<Symmetries::Named> families;
  for (const auto& [first, count] : {std::pair{Index{0}, half}, std::pair{half, X.cols() - half}})
    if (count > 0) families.push_back({"a span", std::make_unique<Span>(X.middleCols(first, count))});
  return {X.rows(), std::move(families)};
}

/// Of P = 60 directions the first 20 are called symmetries; `curved` of them, in other coordinates, have
/// H t = size. They do so by their own curvature, of either sign, or by coupling to what is no symmetry.
struct Curved {
  Curved(Index curved, double size, bool coupled) {
    const Vectors<double> Q = random_orthogonal(60, 1);
    X = Q.leftCols(20);
    const Vectors<double> turned = X * random_orthogonal(20, 2);
    null = turned.rightCols(20 - curved);
    Vectors<double> h = Vectors<double>::Zero(60, 60);
    for (Index i = 20; i < 60; ++i) h(i, i) = i % 3 == 0 ? -1 : 1;
    for (Index i = 0; i < curved; ++i) {
      if (coupled)
        h(i, 20 + i) = h(20 + i, i) = size;
      else
        h(i, i) = i % 2 == 0 ? size : -size;
    }
    Vectors<double> basis(60, 60);
    basis << turned, Q.rightCols(40);
    H = basis * h * basis.transpose();
  }
  Vectors<double> X, null, H;
};

/// That `null` is what is removed, and nothing else: what is curved by `size`, where |H| = 1, is told from it
/// to eps / size, which random blocks of vectors make some ten times worse.
void check_removed(const NullDirections& found, const Vectors<double>& null, double size = 1) {
  CHECK(found.modes() == null.cols());
  Vectors<double> V(null.rows(), 3);
  Random(7, "vectors").fill_normal(V);
  const Vectors<double> expected = V - null * (null.transpose() * V);
  found.remove(V);
  CHECK((V - expected).norm() <= 1e-14 / size * expected.norm());
}

}  // namespace

TEST_CASE("symmetry directions that the Hessian does not map to zero are kept, however many") {
  // Blocks of 8, 16 and 20 random vectors look for them.
  const Index curved = GENERATE(0, 1, 7, 8, 9, 15, 16, 17, 19, 20);
  const bool coupled = GENERATE(false, true);
  const double size = GENERATE(1e-6, 1.0);
  CAPTURE(curved, coupled, size);
  const Curved made(curved, size, coupled);
  const Symmetries symmetries = symmetries_along(made.X);
  const MatrixOperator H(made.H);
  check_removed(NullDirections(symmetries, H, 1e-9), made.null, size);
}

TEST_CASE("the tolerance says what is no null direction, in the units of the Hessian") {
  for (const double scale : {1e-200, 1.0, 1e200}) {
    const Curved made(3, 1e-4, true);
    const Symmetries symmetries = symmetries_along(made.X);
    const MatrixOperator H(Vectors<double>(scale * made.H));
    check_removed(NullDirections(symmetries, H, 0.99e-4 * scale), made.null, 1e-4);
    check_removed(NullDirections(symmetries, H, 1.01e-4 * scale), made.X);
    check_removed(NullDirections(symmetries, H, HUGE_VAL), made.X);
  }
}

TEST_CASE(
    "a few products are enough where few directions are curved, and none where there are no symmetries") {
  const Index P = 300, modes = 250;
  const Vectors<double> Q = random_orthogonal(P, 4);
  Vector<double> h = Vector<double>::Zero(P);
  h.tail(P - modes).setOnes();
  h.segment(3, 2) << 0.5, -0.1;
  const MatrixOperator H(Vectors<double>(Q * h.asDiagonal() * Q.transpose()));
  Vectors<double> null(P, modes - 2);
  null << Q.leftCols(3), Q.middleCols(5, modes - 5);
  const Symmetries symmetries = symmetries_along(Q.leftCols(modes));
  const NullDirections found(symmetries, H, 1e-9);
  CHECK(H.products() <= 16);
  check_removed(found, null);

  const Symmetries none(P, {});
  const Index before = H.products();
  check_removed(NullDirections(none, H, 1e-9), Q.leftCols(0));
  CHECK(H.products() == before);
}

TEST_CASE("a Hessian of zeros keeps all symmetries, and one direction alone is one or none") {
  const Curved made(0, 0, false);
  const Symmetries symmetries = symmetries_along(made.X);
  check_removed(NullDirections(symmetries, MatrixOperator(Vectors<double>(0 * made.H)), 0), made.X);
  const Vectors<double> one = Vectors<double>::Ones(1, 1);
  const Symmetries line = symmetries_along(one);
  check_removed(NullDirections(line, MatrixOperator(one), 1.1), one);
  check_removed(NullDirections(line, MatrixOperator(one), 0.9), one.leftCols(0));
}
