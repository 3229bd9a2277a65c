#include "basin/spectrum/operator_noise.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "basin/linalg/dense.h"
#include "basin/linalg/random.h"
#include "basin/spectrum/assembled_matrix.h"

using namespace basin;

namespace {

/// Products as a function makes them, whatever that is.
class AnyOperator final : public SelfAdjointOperator {
 public:
  using Multiply = std::function<Vectors<double>(const Vectors<double>&)>;
  AnyOperator(Index size, Multiply multiply) : SelfAdjointOperator(size), multiply_(std::move(multiply)) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override { out = multiply_(V); }
  Multiply multiply_;
};

constexpr Index kNoisySize = 200;

Vectors<double> normal(const char* name) {
  Vectors<double> A(kNoisySize, kNoisySize);
  Random(1, name).fill_normal(A);
  return A;
}

}  // namespace

TEST_CASE("noise: each kind is measured, and enters what a product may be off") {
  const Vectors<double> A = normal("A"), S = A + A.transpose(), K = normal("K");
  const Vectors<double> skew = 1e-6 * (K - K.transpose());
  double calls = 0;
  const auto symmetric = [&](const Vectors<double>& V) -> Vectors<double> { return S * V; };
  const auto asymmetric = [&](const Vectors<double>& V) -> Vectors<double> { return (S + skew) * V; };
  const auto spread = [&](const Vectors<double>& V) -> Vectors<double> {
    return (1 + 1e-6 * std::sin(calls += 1)) * (S * V);
  };
  const auto nonlinear = [&](const Vectors<double>& V) -> Vectors<double> {
    return S * V + 1e-6 * V.cwiseAbs();
  };

  const OperatorNoise none = ReevaluatedOperator(AnyOperator(kNoisySize, symmetric)).noise();
  CHECK(none.scale == Approx(S.norm()).epsilon(0.1));
  CHECK(none.spread == 0);
  CHECK(none.total() < 1e-14 * none.scale);

  CHECK(ReevaluatedOperator(AnyOperator(kNoisySize, asymmetric)).noise().asymmetry ==
        Approx(skew.norm()).epsilon(0.5));
  CHECK(ReevaluatedOperator(AnyOperator(kNoisySize, spread)).noise().spread > 1e-8 * none.scale);
  CHECK(ReevaluatedOperator(AnyOperator(kNoisySize, nonlinear)).noise().nonlinearity > 1e-7);

  // What the error bounds of eigenvalues take: four times the distance, of unit eigenvectors.
  const SymmetricEigen eigen = symmetric_eigen(S, true);
  const Vectors<double> X = eigen.vectors.leftCols(5);
  const auto allowance = [&](const AnyOperator::Multiply& multiply) {
    const AnyOperator B(kNoisySize, multiply);
    const ReevaluatedOperator again(B);
    Vectors<double> BX(kNoisySize, 5);
    B.apply(X, BX);
    return product_rounding(B, &again, X, BX);
  };
  const Vector<double> off = column_norms(skew * X);
  const Vector<double> allowed = allowance(asymmetric);
  for (Index j = 0; j < 5; ++j) {
    CHECK(allowed[j] > off[j]);
    CHECK(allowed[j] < 20 * off[j]);
  }
  CHECK(allowance(symmetric).maxCoeff() < 1e-11);
  CHECK(allowance(nonlinear).minCoeff() > 1e-6);
}

TEST_CASE("noise: of a single number, and of nothing") {
  const ReevaluatedOperator one(
      AnyOperator(1, [](const Vectors<double>& V) -> Vectors<double> { return 3 * V; }));
  CHECK(one.noise().total() < 1e-14 * one.noise().scale);
  const AnyOperator zero(5, [](const Vectors<double>& V) -> Vectors<double> { return 0 * V; });
  CHECK(ReevaluatedOperator(zero).noise().total() == 0);
}
