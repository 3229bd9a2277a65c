#include "basin/spectrum/assembled_matrix.h"

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "basin/linalg/sums.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

Vectors<double> normal_entries(Index rows, Index cols, std::uint64_t seed) {
  Vectors<double> V(rows, cols);
  Random(seed, "normal").fill_normal(V);
  return V;
}

/// From its entries.
template <class Entry>
Vectors<double> square(Index size, const Entry& entry) {
  Vectors<double> M(size, size);
  for (Index j = 0; j < size; ++j)
    for (Index i = 0; i < size; ++i) M(i, j) = entry(i, j);
  return M;
}

Vectors<double> symmetric(Index size) {
  const Vectors<double> G = normal_entries(size, size, 1);
  return square(size, [&](Index i, Index j) { return G(std::min(i, j), std::max(i, j)); });
}

double distance_of(const Vectors<double>& A, const Vectors<double>& B) {
  return (A - B).norm();
}

/// A matrix some of whose products vanish below the range of double precision.
class Underflowing final : public SelfAdjointOperator {
 public:
  Underflowing(Index size, double bound) : SelfAdjointOperator(size) { set_underflow(bound); }

 private:
  void do_apply(ConstVectorsRef<double> /*V*/, VectorsRef<double> out) const override { out.setZero(); }
};

}  // namespace

TEST_CASE("the matrix of an operator is its mean with the transpose, and says what that took away") {
  const Index n = 50;
  Vectors<double> skew = Vectors<double>::Zero(n, n);  // of one pair of entries, and of a column
  skew(40, 3) = 3e-6, skew(3, 40) = -3e-6;
  for (Index i = 0; i < 7; ++i) skew(i, 7) = 1e-6, skew(7, i) = -1e-6;
  const double scale = GENERATE(1e-250, 1.0, 1e250);
  const Vectors<double> S = symmetric(n);
  const MatrixOperator A(square(n, [&](Index i, Index j) { return scale * (S(i, j) + skew(i, j)); }));
  Index columns = 0;
  const AssembledMatrix found =
      assembled_matrix(A, &A, 0, [&](std::int64_t done, std::int64_t /*total*/) { columns = done; });
  CHECK(found.size() == n);
  const Vectors<double>& M = found.matrix;
  CHECK(M == square(n, [&](Index i, Index j) { return M(j, i); }));
  CHECK(distance_of(square(n, [&](Index i, Index j) { return M(i, j) / scale; }), S) <= 1e-15 * S.norm());
  CHECK(found.asymmetry == Approx(skew.norm() * scale).epsilon(1e-9));
  CHECK(columns == n);
  CHECK(found.products == n + 8);
  CHECK(A.products() == found.products);
  // Against A itself the products differ by what was taken away, seen through random vectors, and by
  // rounding.
  const Vector<double> asymmetries = norms(skew);  // of rows as of columns
  for (const Index i : {3, 7, 40}) {
    CHECK(found.row_errors[i] >= asymmetries[i] * scale * (1 + 1e-9));
    CHECK(found.row_errors[i] <=
          9 * asymmetries[i] * scale);  // 1 + 4 times the root of a mean of eight squares
  }
  for (Index i = 10; i < 40; ++i) CHECK(found.row_errors[i] <= 1e-12 * scale);
}

TEST_CASE("rounding is four times the distance of another evaluation, row by row and in the trace") {
  // Diagonal distances e: of the first half of the rows, all alike or with changing signs.
  const Index n = 200;
  const double e = 1e-7;
  const Vectors<double> S = symmetric(n);
  const MatrixOperator A(S);
  for (const double sign : {1.0, -1.0}) {
    Vector<double> E = Vector<double>::Zero(n);
    for (Index i = 0; i < n / 2; ++i) E[i] = i % 2 == 0 ? e : sign * e;
    const MatrixOperator perturbed(
        square(n, [&](Index i, Index j) { return S(i, j) + (i == j ? E[i] : 0); }));
    const AssembledMatrix found = assembled_matrix(A, &perturbed);
    // The mean of 8 n / 2 squares of normal numbers: five standard deviations are a tenth.
    CHECK(found.rounding == Approx(4 * E.norm()).epsilon(0.1));
    CHECK(found.asymmetry == 0);
    for (Index i = 0; i < n / 2; ++i) {
      CHECK(found.row_errors[i] >= 4 * e / 4);  // of eight each
      CHECK(found.row_errors[i] <= 4 * e * 2);
      CHECK(found.row_errors[n / 2 + i] <= 1e-12);
    }
    // What adds up in the trace is kept, what cancels is not added up.
    CHECK(found.trace_error >= std::abs(E.sum()));
    CHECK(found.trace_error >= 1.5 * found.rounding * 0.99);
    if (sign > 0) CHECK(found.trace_error <= 1.1 * 4 * e * static_cast<double>(n / 2));
    if (sign < 0)
      CHECK(found.trace_error <= 3.5 * found.rounding);  // 1.5 and four standard deviations of 1/2
    const Vector<double> rows = row_rounding(A, &perturbed);
    CHECK(distance_of(rows, found.row_errors) <= 1e-12);
    const Vectors<double> V = normal_entries(n, 3, 2);
    Vectors<double> AV(n, 3), EV = V;
    A.apply(V, AV);
    for (Index j = 0; j < 3; ++j)
      for (Index i = 0; i < n; ++i) EV(i, j) *= E[i];
    const Vector<double> of_products = product_rounding(A, &perturbed, V, AV), expected = norms(EV);
    for (Index j = 0; j < 3; ++j) CHECK(of_products[j] == Approx(4 * expected[j]).epsilon(1e-6));
  }
}

TEST_CASE("without another operator the rounding of products is seen, and no more than that") {
  const Index n = 60;
  for (const double scale : {1e-200, 1.0, 1e200}) {
    const Vectors<double> S = symmetric(n);
    const MatrixOperator A(square(n, [&](Index i, Index j) { return scale * S(i, j); }));
    const double size = scale * S.norm();
    const Index before = A.products();
    const Vector<double> rows = row_rounding(A, nullptr);
    CHECK(A.products() == before + 16);  // eight, twice
    CHECK(rows.minCoeff() > 0);
    CHECK(norm(rows) <= 1e-14 * size);
    CHECK(norm(rows) >= 1e-17 * size);
    CHECK(rows != row_rounding(A, nullptr, 1));  // other vectors
    CHECK(rows == row_rounding(A, nullptr, 0));
  }
  // What is lost below the range counts whatever the products say.
  const double u = 1e-290;
  const Underflowing zero(n, u);
  const AssembledMatrix found = assembled_matrix(zero);
  CHECK(row_rounding(zero, nullptr).minCoeff() == u);
  CHECK(row_rounding(zero, nullptr).maxCoeff() == u);
  CHECK(found.rounding == Approx(u * std::sqrt(n)).epsilon(1e-14));
  CHECK(found.trace_error == Approx(n * u).epsilon(1e-14));
  const Vectors<double> v = normal_entries(n, 1, 2), nothing = Vectors<double>::Zero(n, 1);
  CHECK(product_rounding(zero, nullptr, v, nothing)[0] == Approx(u * v.norm()).epsilon(1e-14));
  CHECK(spectral_norm(found.matrix) == 0);
  CHECK(norm_estimate(zero, 0) == 0);
}

TEST_CASE("a deflated matrix is the restriction, and the shift on the space that is removed") {
  const Index n = 70, removed = GENERATE(0, 1, 9, 70);
  const Vectors<double> S = symmetric(n), Q = random_orthogonal(n, 3), X = Q.leftCols(removed);
  for (const double shift : {-7.0, 100.0}) {
    AssembledMatrix found = assembled_matrix(MatrixOperator(S));
    const AssembledMatrix before = found;
    deflate(found, removal_of(X), shift);
    const Vectors<double> rows = X.transpose(), P = X * rows;
    const Vectors<double> rest = square(n, [&](Index i, Index j) { return (i == j ? 1 : 0) - P(i, j); });
    const Vectors<double> half = rest * S, restriction = half * rest;
    const auto expected = [&](Index i, Index j) { return restriction(i, j) + shift * P(i, j); };
    CHECK(distance_of(found.matrix, square(n, expected)) <= 1e-14 * n * std::abs(shift));
    CHECK(found.rounding >= before.rounding + n * kEps * std::abs(shift));
    CHECK(found.rounding <= before.rounding + 2 * n * kEps * std::abs(shift));
    CHECK(found.row_errors == before.row_errors);
    CHECK(found.trace_error == before.trace_error);
  }
}

TEST_CASE("estimates of norms are lower ones, and close, of either sign and any scale") {
  const double scale = GENERATE(1e-290, 1.0, 1e290), sign = GENERATE(1.0, -1.0);
  Vector<double> d = Vector<double>::LinSpaced(80, -0.5, 0.9);
  for (const Index n : {1, 2, 80}) {
    d[0] = 1.25;
    const Vector<double> values = sign * scale * d.head(n);
    const MatrixOperator A(values, 2);
    for (const double found : {norm_estimate(A, 0), norm_estimate(A, 5), spectral_norm(assemble(A))}) {
      CHECK(found <= 1.25 * scale * (1 + 1e-14));
      CHECK(found >= 0.97 * 1.25 * scale);  // of 1.25 and 0.9 in 12 steps, and 1/sqrt(80) of it at first
    }
    CHECK(A.products() <= 24 + n);
  }
  // Not the largest entry, which it starts from.
  CHECK(spectral_norm(square(2, [](Index i, Index j) { return i == j ? 3.0 : 4.0; })) ==
        Approx(7).epsilon(1e-12));
}

TEST_CASE("norms of columns have any scale, and what is not finite is refused") {
  Vectors<double> V(2, 3);
  V << 3e200, 3e-200, 0, 4e200, 4e-200, 0;
  const Vector<double> lengths = column_norms(V);
  CHECK(lengths[0] == Approx(5e200).epsilon(1e-15));
  CHECK(lengths[1] == Approx(5e-200).epsilon(1e-15));
  CHECK(lengths[2] == 0);
  CHECK_NOTHROW(check_finite(V));
  V.col(2).setConstant(1.5e308);
  CHECK_NOTHROW(check_finite(V));
  CHECK_THROWS_WITH(column_norms(V), "a product of the operator overflows: eigenvalues are not defined");
  for (const double bad : {kNaN, kInfinity, -kInfinity}) {
    V(1, 1) = bad;
    CHECK_THROWS_WITH(check_finite(V),
                      "a product of the operator is not finite: eigenvalues are not defined");
    Vectors<double> M = Vectors<double>::Identity(5, 5);
    M(2, 4) = bad;
    const MatrixOperator A(M);
    CHECK_THROWS_AS(assembled_matrix(A), WorkError);
    CHECK_THROWS_AS(row_rounding(A, nullptr), WorkError);
    CHECK_THROWS_AS(norm_estimate(A, 0), WorkError);
  }
}
