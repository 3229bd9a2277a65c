#include "basin/linalg/orthogonal.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "basin/linalg/dense.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/random.h"

using namespace basin;

namespace {

Vectors<double> normal_vectors(Index rows, Index cols, std::uint64_t seed) {
  Vectors<double> X(rows, cols);
  Random(seed, "orthogonal test").fill_normal(X);
  return X;
}

Vectors<double> joined(const Vectors<double>& A, const Vectors<double>& B) {
  Vectors<double> both(A.rows(), A.cols() + B.cols());
  both << A, B;
  return both;
}

double skew(const Vectors<double>& Q) {
  return Q.cols() == 0 ? 0
                       : (gram(Q, Q) - Vectors<double>::Identity(Q.cols(), Q.cols())).cwiseAbs().maxCoeff();
}

/// How far the columns of W are from the span of Q, as a part of their length.
double outside(const Vectors<double>& Q, Vectors<double> W) {
  const Vector<double> lengths = norms(W);
  project_out(Q, W);
  double most = 0;
  for (Index j = 0; j < W.cols(); ++j) most = std::max(most, norm(W.col(j)) / lengths[j]);
  return most;
}

}  // namespace

TEST_CASE("blocks of every shape are made orthonormal, and the span is kept") {
  for (const Index P : {1, 2, 3, 7, 40, 1000, 5000})
    for (const Index a : {0, 1, 6, 33})
      for (const Index b : {0, 1, 4, 8}) {
        if (a > P) continue;
        CAPTURE(P, a, b);
        const Vectors<double> Q =
            a > 0 ? orthonormal_columns(normal_vectors(P, a, 1)) : Vectors<double>(P, 0);
        const Vectors<double> before = normal_vectors(P, b, 2);
        Vectors<double> W = before;
        const Orthonormalised done = orthonormalise(Q, W);
        CHECK(done.count == std::min(b, P - a));
        CHECK((done.coefficients - Q.transpose() * before).norm() <= 1e-13 * (1 + before.norm()));
        const Vectors<double> all = joined(Q, W.leftCols(done.count));
        CHECK(skew(all) <= 20 * kEps);
        CHECK(outside(all, before) <= 1e-14);
        if (b == 0) continue;
        // `rest` is the diagonal of the triangular factor.
        Vectors<double> R = joined(Q, before);
        R = triangular_factor(R);
        for (Index j = 0; j < b; ++j)
          if (a + j < P)
            CHECK(done.rest[j] == Approx(std::abs(R(a + j, a + j))).epsilon(1e-10));
          else
            CHECK(done.rest[j] == 0);
      }
}

TEST_CASE("dependent columns are dropped, nearly dependent ones are kept and orthogonal to rounding") {
  const Index P = 3001;
  const Vectors<double> Q = orthonormal_columns(normal_vectors(P, 20, 1));
  const Vectors<double> G = orthonormal_columns(joined(Q, normal_vectors(P, 2, 2))).rightCols(2);
  const auto of_basis = [&](std::uint64_t seed) {
    return Vector<double>(Q * normal_vectors(20, 1, seed).normalized());
  };
  // The same for lengths at either end of the range.
  for (const double size : {1.0, 1e-150, 1e150, 1e-290, 1e290}) {
    for (const double part : {1e-2, 1e-6, 1e-10, 1e-12}) {
      CAPTURE(size, part);
      Vectors<double> W(P, 6);
      W.col(0) = of_basis(3) + part * G.col(0);  // close to the basis
      W.col(1).setZero();
      W.col(2) = W.col(0);                                  // a copy
      W.col(3) = of_basis(4);                               // within
      W.col(4) = of_basis(5) + G.col(0) + part * G.col(1);  // close to the basis and column 0
      W.col(5) = W.col(4) - W.col(0) + 1e-14 * G.col(1);
      W *= size;
      const Orthonormalised done = orthonormalise(Q, W);
      REQUIRE(done.count == 2);
      CHECK(done.rest[0] == Approx(part * size).epsilon(1e-14 / part));
      // What is left of column 0 points somewhere else by eps / part.
      CHECK(std::abs(done.rest[4] - part * size) <= 1e-14 / part * size);
      for (const Index j : {1, 2, 3, 5}) CHECK(done.rest[j] == 0);
      CHECK(skew(joined(Q, W.leftCols(2))) <= 20 * kEps);
    }
    Vectors<double> W = size * (of_basis(3) + 1e-14 * G.col(0));
    CHECK(orthonormalise(Q, W).count == 0);
    // With something longer behind it a column is rounding.
    W = size * 1e-9 * G.col(0);
    CHECK(orthonormalise(Q, W, 1e5 * size).count == 0);
    W = size * 1e-9 * G.col(0);
    CHECK(orthonormalise(Q, W, 1e3 * size).count == 1);
  }
}

TEST_CASE("columns that are not finite are dropped, and leave the others alone") {
  const Vectors<double> Q = orthonormal_columns(normal_vectors(100, 3, 1));
  for (const double bad : {kNaN, kInfinity}) {
    Vectors<double> W = normal_vectors(100, 3, 2), good = W;
    W(50, 1) = bad;
    good.col(1) = good.col(2);
    CHECK(orthonormalise(Q, W).count == 2);
    orthonormalise(Q, good);
    CHECK(W.leftCols(2) == good.leftCols(2));
  }
  Vectors<double> W = Vectors<double>::Constant(100, 1, 1e308);  // its length overflows
  CHECK(orthonormalise(Q, W).count == 1);
  CHECK(norm(W.col(0)) == Approx(1));
}

TEST_CASE("orthonormal columns have the same bits for any number of threads") {
  const int before = omp_get_max_threads();
  const Vectors<double> start = normal_vectors(300000, 12, 1), more = normal_vectors(300000, 5, 2);
  std::vector<Vectors<double>> results;
  for (const int threads : {1, 2}) {
    omp_set_num_threads(threads);
    Vectors<double> Q = start, W = more;
    orthonormalise(Vectors<double>(300000, 0), Q);
    orthonormalise(Q, W);
    results.push_back(joined(Q, W));
  }
  omp_set_num_threads(before);
  CHECK(results[0] == results[1]);
  CHECK(skew(results[0]) <= 20 * kEps);
}
