#include "basin/linalg/block_krylov.h"

#include <catch2/catch.hpp>
#include <stdexcept>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

using Enough = std::function<bool(const RitzPairs&)>;
const Enough kNever = [](const RitzPairs&) { return false; };

/// Of a diagonal matrix: its eigenvalues are known, and a start block sees all of them.
RitzPairs of_diagonal(const Vector<double>& d, const Enough& enough, std::uint64_t seed = 1) {
  return largest_ritz_pairs(
      d.size(), seed, [&](const Vectors<double>& V) { return Vectors<double>(d.asDiagonal() * V); }, enough);
}

/// What is said of each pair: some eigenvalue is within its residual.
void check_pairs(const RitzPairs& found, const Vector<double>& d) {
  const double rounding = 1e-13 * d.cwiseAbs().maxCoeff();  // some n eps
  const Index count = found.values.size();
  REQUIRE(found.residuals.size() == count);
  for (Index i = 0; i < count; ++i) {
    CHECK((d.array() - found.values[i]).abs().minCoeff() <= found.residuals[i] + rounding);
    if (i > 0) CHECK(found.values[i] <= found.values[i - 1]);
  }
  CHECK(found.values[0] <= d.maxCoeff() + rounding);
  CHECK(std::abs(found.vector.norm() - 1) <= 1e-14);
  const Vector<double> r = d.cwiseProduct(found.vector) - found.values[0] * found.vector;
  CHECK(std::abs(r.norm() - found.residuals[0]) <= rounding);
}

Index copies(const RitzPairs& found, double value) {
  return ((found.values.array() - value).abs() <= 1e-12).count();
}

}  // namespace

TEST_CASE("the algebraically largest eigenvalue to the square of its residual, for every size and sign") {
  const Index n = GENERATE(1, 2, 5, 159, 160, 161, 400);
  const double scale = GENERATE(1e-100, 1.0, 1e100), shift = GENERATE(0.0, -4.0);
  CAPTURE(n, scale, shift);
  Vector<double> d = Vector<double>::LinSpaced(n, -5, 1);  // the largest size is at the other end
  d[n / 2] = 2;
  d = (scale * (d.array() + shift)).eval();
  const RitzPairs found = of_diagonal(d, [](const RitzPairs&) { return true; });
  check_pairs(found, d);
  CHECK(found.residuals[0] <= 1e-5 * std::abs(found.values[0]));
  // Its gap is scale or more: the error is at most residual^2 / scale.
  CHECK(std::abs(found.values[0] - d[n / 2]) <= (4e-10 + 1e-13) * scale);
  CHECK(found.values.size() <= std::min<Index>(n, 160));
}

TEST_CASE("the space grows until it is enough, and no further than 160 vectors") {
  const Vector<double> d = Vector<double>::LinSpaced(400, 0, 1).array().pow(8);
  std::vector<Index> sizes;
  const RitzPairs found = of_diagonal(d, [&](const RitzPairs& pairs) {
    // asked once the largest has converged
    CHECK(pairs.residuals[0] <= 1e-5 * pairs.values[0]);
    sizes.push_back(pairs.values.size());
    return sizes.size() == 2;
  });
  REQUIRE(sizes.size() == 2);
  CHECK(sizes[0] < sizes[1]);
  CHECK(found.values.size() == sizes[1]);
  CHECK(found.values.size() < 160);
  check_pairs(found, d);
  const RitzPairs all = of_diagonal(d, kNever);
  CHECK(all.values.size() == 160);
  check_pairs(all, d);
  CHECK(all.values == of_diagonal(d, kNever).values);  // the same bits
  CHECK(all.values != of_diagonal(d, kNever, 2).values);

  // Too dense at its end for so few vectors: what is there is given, with its residual.
  const Vector<double> dense = Vector<double>::LinSpaced(20000, 0, 1);
  bool asked = false;
  const RitzPairs rough = of_diagonal(dense, [&](const RitzPairs&) { return asked = true; });
  CHECK_FALSE(asked);
  CHECK(rough.values.size() == 160);
  CHECK(rough.residuals[0] > 1e-5);
  check_pairs(rough, dense);
}

TEST_CASE("all copies of multiple eigenvalues are found, also more than a block has vectors") {
  Vector<double> small(20), large = Vector<double>::Constant(300, -1);
  small << 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0;
  large.head(6).setConstant(2);
  large.segment(6, 10).setZero();
  const RitzPairs a = of_diagonal(small, kNever), b = of_diagonal(large, kNever);
  CHECK(a.values.size() == 20);
  CHECK(copies(a, 2) == 8);
  CHECK(copies(a, 1) == 6);
  CHECK(copies(a, 0) == 6);
  CHECK(b.values.size() == 160);
  CHECK(copies(b, 2) == 6);
  CHECK(copies(b, 0) == 10);
  CHECK(copies(b, -1) == 144);
  CHECK(b.residuals.maxCoeff() <= 1e-12);
  for (const Index n : {1, 7, 200}) {
    const RitzPairs zero = of_diagonal(Vector<double>::Zero(n), kNever);
    CHECK(zero.values.size() == std::min<Index>(n, 160));
    CHECK(zero.values.norm() == 0);
    CHECK(zero.residuals.norm() == 0);
    CHECK(std::abs(zero.vector.norm() - 1) <= 1e-14);
  }
}

namespace {

/// The bound from Ritz pairs and the exact norm of what is left.
double bound_of(const Vectors<double>& A, const RitzPairs& top, double least_rest = -1) {
  Index next = 1;
  double squares = 0;
  return bound_largest(top, [&](Index r, double coupling) {
    if (r != next++) throw std::logic_error("not each r in turn");
    squares += top.residuals[r - 1] * top.residuals[r - 1];
    CHECK(coupling == Approx(squares).epsilon(1e-14));
    const Index left = A.rows() - r;
    const Vector<double> values = symmetric_eigen(A.bottomRightCorner(left, left), false).values;
    return std::max(least_rest, values.cwiseAbs().maxCoeff());
  });
}

}  // namespace

TEST_CASE("the bound holds, and is tight where what the space has not seen is small") {
  const Index n = 9, k = 3;
  for (const double coupling : {0.0, 1e-6, 1e-2, 1.0})
    for (const double rest : {1e-3, 1.0, 3.0}) {
      CAPTURE(coupling, rest);
      // In the coordinates of the Ritz vectors: [diag(theta) R^T; R C].
      Vectors<double> A(n, n);
      Random(3, "bound").fill_normal(A);
      A = (0.2 * rest * (A + A.transpose())).eval();
      A.topLeftCorner(k, k).setZero();
      A.topRightCorner(k, n - k) *= coupling / rest;
      A.bottomLeftCorner(n - k, k) *= coupling / rest;
      RitzPairs top = {Vector<double>::LinSpaced(k, 2, 1), Vector<double>(k), {}};
      for (Index i = 0; i < k; ++i) {
        A(i, i) = top.values[i];
        top.residuals[i] = A.col(i).tail(n - k).norm();
      }
      const double largest = symmetric_eigen(A, false).values[n - 1], bound = bound_of(A, top);
      CHECK(bound >= largest * (1 - 1e-14));
      // The coupling adds no more than |R|, or |R|^2 over the gap.
      const double R = top.residuals.norm();
      if (rest == 1e-3) CHECK(bound <= largest + std::min(R, 2 * R * R) + 1e-14);
    }
}

TEST_CASE(
    "of one vector and its residual the bound is the larger eigenvalue of two by two, and the best is "
    "taken") {
  Vectors<double> A(2, 2);
  A << 2, 0.5, 0.5, 1;
  const RitzPairs one = {Vector<double>{{2.0}}, Vector<double>{{0.5}}, {}};
  CHECK(bound_of(A, one) == Approx(symmetric_eigen(A, false).values[1]).epsilon(1e-15));
  // A rest below zero is none.
  CHECK(bound_largest(one, [](Index, double) { return -7.0; }) == Approx(1 + std::sqrt(1.25)).epsilon(1e-15));
  // With the first pair alone the rest decides, with the third the coupling.
  const RitzPairs three = {Vector<double>{{4.0, 3.0, 2.0}}, Vector<double>{{0.1, 0.1, 5.0}}, {}};
  const double best = bound_largest(three, [](Index r, double) { return r == 1 ? 100.0 : 1.0; });
  CHECK(best == Approx(2.5 + std::sqrt(2.25 + 0.02)).epsilon(1e-15));
}
