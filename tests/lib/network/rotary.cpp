#include "basin/network/rotary.h"

#include <catch2/catch.hpp>

#include "basin/linalg/random.h"

using namespace basin;

namespace {

Matrix<double> draw(Index rows, Index cols, std::uint64_t seed) {
  Matrix<double> x(rows, cols);
  Random(seed, "rotary").fill_normal(x);
  return x;
}

}  // namespace

TEST_CASE("rotary positions turn the pairs of features by angles that grow with the token") {
  const auto pairing = GENERATE(RotaryPairing::halves, RotaryPairing::interleaved);
  const Rotary rotary{6, 100, pairing};
  const RotaryTurns<double> turns(rotary, 4);
  const Matrix<double> x = draw(8, 7, 1);  // two samples; the last feature stays
  Matrix<double> y = x;
  turns.turn(tile(y));
  for (Index row = 0; row < 8; ++row) {
    for (Index i = 0; i < 3; ++i) {
      const double angle = static_cast<double>(row % 4) * std::pow(100, -2 * static_cast<double>(i) / 6);
      const Index a = pairing == RotaryPairing::halves ? i : 2 * i,
                  b = pairing == RotaryPairing::halves ? i + 3 : 2 * i + 1;
      CHECK(y(row, a) == Approx(x(row, a) * std::cos(angle) - x(row, b) * std::sin(angle)).epsilon(1e-14));
      CHECK(y(row, b) == Approx(x(row, a) * std::sin(angle) + x(row, b) * std::cos(angle)).epsilon(1e-14));
    }
    CHECK(y(row, 6) == x(row, 6));
  }
  CHECK((y.row(0) == x.row(0) && y.row(4) == x.row(4)));  // the first token is turned by 0
  turns.turn_back(tile(y));
  CHECK((y - x).norm() <= 1e-15 * x.norm());
}

TEST_CASE("scalar products after rotary positions hang on the distance of tokens alone") {
  const RotaryTurns<double> turns({4, 7, RotaryPairing::halves}, 6);
  const Matrix<double> q = draw(1, 4, 2).replicate(6, 1), k = draw(1, 4, 3).replicate(6, 1);
  Matrix<double> Q = q, K = k;
  turns.turn(tile(Q));
  turns.turn(tile(K));
  const Matrix<double> Z = Q * K.transpose();
  for (Index s = 1; s < 6; ++s)
    for (Index t = 1; t < 6; ++t) CHECK(Z(s, t) == Approx(Z(s - 1, t - 1)).margin(1e-14));
  CHECK(std::abs(Z(0, 1) - Z(1, 0)) > 1e-3);  // and on its sign
}
