#include "basin/curvature/hessian_parts.h"

#include <catch2/catch.hpp>

#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Hands products on, and counts them.
class Counted final : public SelfAdjointOperator {
 public:
  Counted(const SelfAdjointOperator& A, Index& count) : SelfAdjointOperator(A.rows()), A_(A), count_(count) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override {
    A_.apply(V, out);
    count_ += V.cols();
  }
  const SelfAdjointOperator& A_;
  Index& count_;
};

const HessianPart kParts[] = {HessianPart::hessian, HessianPart::gauss_newton, HessianPart::residual};

}  // namespace

TEST_CASE("the Hessian is the sum of its parts, and perturbed ones differ by rounding") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Linearization<double> at = make_instance({"parts", 3, 4, 5, 2, 3, 2, kind}).linearize();
  const MeasuredHessianParts parts(at);
  const Vectors<double> H = assemble(parts.get(HessianPart::hessian)),
                        G = assemble(parts.get(HessianPart::gauss_newton)),
                        R = assemble(parts.get(HessianPart::residual));
  CHECK(H == assemble(HessianOperator(at)));
  CHECK(G == assemble(GaussNewtonOperator(at)));
  CHECK(R == Vectors<double>(H - G));
  CHECK(R.norm() > 0.01 * H.norm());
  for (const HessianPart part : kParts) {
    CAPTURE(to_string(part));
    const FarthestPerturbed farthest = parts.farthest(part);
    const double apart = (assemble(farthest) - assemble(parts.get(part))).norm();
    CHECK(apart > 0);
    CHECK(apart <= 1e-12 * H.norm());
  }
}

TEST_CASE("others stand in for H and G of every point, by their numbers") {
  const Linearization<double> at = make_instance({"stand-ins", 2, 3, 4, 1, 2, 2}).linearize();
  std::vector<std::uint64_t> numbers;
  std::vector<Index> counts(100, 0);
  const MeasuredHessianParts parts(at, 0, [&](const SelfAdjointOperator& A, std::uint64_t number) {
    numbers.push_back(number);
    return std::make_unique<const Counted>(A, counts.at(number));
  });
  REQUIRE(numbers.size() > 4);
  for (std::size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == i);
  assemble(parts.get(HessianPart::residual));
  CHECK(counts[0] == at.theta_size());
  CHECK(counts[1] == at.theta_size());
  CHECK(counts[2] == 0);
  assemble(parts.farthest(HessianPart::gauss_newton));
  CHECK(counts[1] == at.theta_size());  // what the perturbed ones are held against is not counted
  CHECK(counts[2] == 0);
  for (std::size_t i = 3; i < numbers.size(); i += 2) CHECK(counts[i] == at.theta_size());
}
