#include "basin/problem/constructions.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"

using namespace basin;

namespace {

struct At {
  double loss, slope;
  Vector<double> eigenvalues;  // of the Hessian, ascending
};

At at(const std::string& name, const std::vector<std::string>& trained, KernelKind kernel,
      const Vector<double>* weights = nullptr) {
  const Problem problem = construction(name).problem;
  Network net = problem.network;
  net.kernel = kernel;
  const Linearization<double> here({build_single_attention<double>(problem.spec(net, 1, 1), trained),
                                    weights ? *weights : net.weights->values,
                                    std::make_shared<Data<double>>(problem.data)});
  const Index P = here.theta_size();
  Vectors<double> H(P, P);
  here.hessian(Vectors<double>::Identity(P, P), H);
  return {here.loss(), here.gradient().norm(), symmetric_eigen(H, false).values};
}

constexpr auto kSoftmax = KernelKind::softmax, kGaussian = KernelKind::gaussian;
const double kRounding = 1e-14;

}  // namespace

// The numbers are those of the page of mathematics, to its digits.

TEST_CASE(
    "softmax-trap is a strict local minimum in W_Q, a saddle with W_K, and nothing to the Gaussian kernel") {
  const At in_Q = at("softmax-trap", {"W_Q"}, kSoftmax);
  CHECK(in_Q.slope <= kRounding);
  CHECK(in_Q.loss == Approx(0.5).epsilon(1e-14));
  CHECK((in_Q.eigenvalues.array() - 0.25).abs().maxCoeff() <= kRounding);

  const At in_QK = at("softmax-trap", {"W_Q", "W_K"}, kSoftmax);
  CHECK(in_QK.slope <= kRounding);
  CHECK(in_QK.eigenvalues[0] == Approx(-1.575).margin(5e-4));

  CHECK(at("softmax-trap", {"W_Q"}, kGaussian).slope == Approx(4.371970).margin(5e-7));

  // f = 0 is attained: the same query for all tokens, by bisection on the output 3/2
  const Problem problem = construction("softmax-trap").problem;
  Vector<double> weights = problem.network.weights->values;
  const auto loss = [&](double q) {
    weights.head(4).setConstant(q);
    return at("softmax-trap", {"W_Q"}, kSoftmax, &weights).loss;
  };
  double least = loss(0);
  for (double q = 0; q <= 8; q += 1e-4) least = std::min(least, loss(q));
  CHECK(least <= 1e-6);
}

TEST_CASE("gaussian-trap is a strict local minimum in W_Q") {
  const At in_Q = at("gaussian-trap", {"W_Q"}, kGaussian);
  CHECK(in_Q.slope <= kRounding);
  CHECK(in_Q.loss == Approx(0.2493259).margin(5e-8));
  CHECK((in_Q.eigenvalues.array() - 0.4942).abs().maxCoeff() <= 5e-5);
  // outputs up to 2 are reached near q = 4, hence 3/2 on the way
  Vector<double> weights = construction("gaussian-trap").problem.network.weights->values;
  double least = 1;
  for (double q = 0; q <= 4; q += 1e-4) {
    weights.head(2).setConstant(q);
    least = std::min(least, at("gaussian-trap", {"W_Q"}, kGaussian, &weights).loss);
  }
  CHECK(least <= 1e-6);
}

TEST_CASE("softmax-saddle is a strict saddle in W_Q and W_K, and nothing to the Gaussian kernel") {
  const At in_QK = at("softmax-saddle", {"W_Q", "W_K"}, kSoftmax);
  CHECK(in_QK.slope <= kRounding);
  CHECK(in_QK.loss == Approx(0.09375).epsilon(1e-14));
  CHECK(in_QK.eigenvalues[0] == Approx(-0.09449).margin(5e-6));
  CHECK(at("softmax-saddle", {"W_Q", "W_K"}, kGaussian).slope == Approx(1.465726).margin(5e-7));
}

TEST_CASE("zero-scores is stationary under both kernels, at a positive loss") {
  for (const KernelKind kernel : {kSoftmax, kGaussian}) {
    const At in_QK = at("zero-scores", {"W_Q", "W_K"}, kernel);
    CHECK(in_QK.slope <= kRounding);
    CHECK(in_QK.loss > 0.01);
  }
}

TEST_CASE("an unknown construction is answered with the names") {
  CHECK_THROWS_WITH(construction("trap"),
                    "unknown construction 'trap'; expected one of softmax-trap, gaussian-trap, "
                    "softmax-saddle, zero-scores");
  CHECK_THROWS_AS(construction(""), InputError);
}
