#include "basin/linalg/sums.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "basin/linalg/parallel.h"
#include "basin/linalg/random.h"
#include "basin/linalg/simd.h"
#include "support/quad.h"

using namespace basin;
using test::Quad;

namespace {

Vectors<double> long_vectors(Index rows, Index cols, std::uint64_t seed) {
  Vectors<double> X(rows, cols);
  Random(seed, "sums test").fill_normal(X);
  return X;
}

bool same_bits(const Vectors<double>& A, const Vectors<double>& B) {
  return A.rows() == B.rows() && A.cols() == B.cols() && (A.array() == B.array()).all();
}

/// The numbers of X, `shift` numbers further in memory.
class Shifted {
 public:
  Shifted(const Vectors<double>& X, Index shift)
      : memory_(X.size() + shift), map_(memory_.data() + shift, X.rows(), X.cols()) {
    map_ = X;
  }
  Eigen::Map<Vectors<double>>& operator*() { return map_; }

 private:
  Vector<double> memory_;
  Eigen::Map<Vectors<double>> map_;
};

// Below, at and above a pack, a quarter of a leaf, a leaf, the leaves taken together, and what threads share.
const std::vector<Index> kLengths = {0,   1,   2,   3,    5,    7,    8,    17,   239,
                                     241, 959, 961, 1439, 1441, 1921, 7681, 20003};
const std::vector<std::pair<Index, Index>> kWidths = {{1, 1}, {2, 1}, {1, 3}, {2, 2}, {5, 1},  {3, 4},
                                                      {7, 1}, {7, 5}, {4, 9}, {0, 2}, {13, 6}, {2, 0}};

}  // namespace

TEST_CASE("Gram matrices and updates of every shape, against 113 bits") {
  for (const Index P : kLengths)
    for (const auto& [a, b] : kWidths) {
      CAPTURE(P, a, b);
      const Vectors<double> X = long_vectors(P, a, 1), Y = long_vectors(P, b, 2);
      const Vectors<double> G = gram(X, Y), C = long_vectors(a, b, 3);
      REQUIRE(G.rows() == a);
      REQUIRE(G.cols() == b);
      const double terms = 360.0 / kLanes<double> + std::log2(static_cast<double>(P + 1)) + 1;
      for (Index i = 0; i < a; ++i)
        for (Index j = 0; j < b; ++j) {
          const double size = X.col(i).cwiseProduct(Y.col(j)).cwiseAbs().sum();
          const auto error =
              G(i, j) - test::dot(test::QuadVector(X.col(i).begin(), X.col(i).end()).data(),
                                  test::QuadVector(Y.col(j).begin(), Y.col(j).end()).data(), P);
          CHECK(static_cast<double>(test::abs_of(error)) <= terms * kEps * size);
          CHECK(dot(X.col(i), Y.col(j)) == G(i, j));
        }
      CHECK(same_bits(gram(Y, X), G.transpose()));
      Vectors<double> V = Y;
      subtract(X, C, V);
      const double bound = kEps * static_cast<double>(a + 1);
      const Vectors<double> size = Y.cwiseAbs() + X.cwiseAbs() * C.cwiseAbs();
      for (Index j = 0; j < b; ++j)
        for (Index row = 0; row < P; ++row) {
          Quad exact = Y(row, j);
          for (Index i = 0; i < a; ++i) exact -= Quad(X(row, i)) * C(i, j);
          if (!(static_cast<double>(test::abs_of(exact - V(row, j))) <= bound * size(row, j)))
            FAIL("row " << row << ", column " << j);
        }
    }
}

TEST_CASE("the same bits at any address, among any columns, for any number of threads") {
  const int before = omp_get_max_threads();
  for (const Index P : {7, 1921, 300001})  // 300001 x 13 x 6 is shared
    for (const auto& [a, b] : kWidths) {
      CAPTURE(P, a, b);
      const Vectors<double> X = long_vectors(P, a, 1), Y = long_vectors(P, b, 2);
      const Vectors<double> C = long_vectors(a, b, 3);
      omp_set_num_threads(1);
      const Vectors<double> G = gram(X, Y);
      Vectors<double> V = Y;
      subtract(X, C, V);
      if (a > 1 && b > 0) {
        CHECK(same_bits(gram(X.rightCols(a - 1), Y.rightCols(1)), G.bottomRightCorner(a - 1, 1)));
        Vectors<double> last = Y.rightCols(1);
        subtract(X, C.rightCols(1), last);
        CHECK(same_bits(last, V.rightCols(1)));
      }
      for (const int threads : {1, 2, 3}) {
        omp_set_num_threads(threads);
        for (const Index shift : {0, 1, 3}) {
          Shifted there(X, shift), beside(Y, (shift + 1) % 4);
          CHECK(same_bits(gram(*there, *beside), G));
          subtract(*there, C, *beside);
          CHECK(same_bits(*beside, V));
        }
      }
    }
  omp_set_num_threads(before);
}

TEST_CASE("lengths at either end of the range") {
  for (const Index P : {1, 5, 1000, 4001}) {
    const Vectors<double> x = long_vectors(P, 1, 4);
    const double length = x.norm();
    for (const double scale :
         {0x1p-1060, 0x1p-1000, 0x1p-500, 0x1p-450, 0x1p-449, 1.0, 0x1p+499, 0x1p+501, 0x1p+1000}) {
      CAPTURE(P, scale);
      const Vector<double> scaled = scale * x.col(0);
      const double digits =
          std::max(4 * kEps, 0x1p-1073 * std::sqrt(static_cast<double>(P)) / scale / length);
      CHECK(std::abs(norm(scaled) / scale - length) <= digits * length);
    }
    Vector<double> y = Vector<double>::Constant(P, std::numeric_limits<double>::max());
    CHECK(norm(y) == (P == 1 ? y[0] : kInfinity));
    CHECK(norm(y / 128) == Approx(y[0] / 128 * std::sqrt(static_cast<double>(P))));
    CHECK(norm(0 * y) == 0);
    y[P / 2] = kInfinity;
    CHECK(norm(y) == kInfinity);
    y[0] = kNaN;
    CHECK(std::isnan(norm(y)));
  }
  CHECK(norm(Vector<double>(0)) == 0);
  CHECK(norms(Vectors<double>::Identity(3, 2)) == Vector<double>::Ones(2));
}
