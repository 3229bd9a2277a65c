#include "basin/single_layer/certificate.h"

#include <omp.h>

#include <Eigen/Eigenvalues>
#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Threads that wait for each other in thousands of tiny loops make a test slow on a busy machine.
struct OneThread {
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before); }
  int before = omp_get_max_threads();
};

/// The same instance with targets F - r.
ModelPoint<double> with_residual(const ModelPoint<double>& instance, const Vector<double>& r) {
  auto data = std::make_shared<Data<double>>(*instance.data);
  const Matrix<double> F = instance.linearize().outputs();
  data->Y = F - Eigen::Map<const Matrix<double>>(r.data(), F.rows(), F.cols());
  ModelPoint<double> other = instance;
  other.data = data;
  return other;
}

/// max |D^2 F[u, v]| / |u| |v|, from below: <w, D^2 F[u, v]> is maximised in w and in u = v in turn. For a
/// residual w it is the Hessian of the loss less J^T J, a symmetric matrix in u and v.
double second_derivative_norm(const ModelPoint<double>& instance, std::uint64_t seed, int starts,
                              int iterations) {
  const Linearization<double> at = instance.linearize();
  const Index P = at.theta_size();
  const Vectors<double> I = Vectors<double>::Identity(P, P);
  Vectors<double> G(P, P), H(P, P);
  at.gauss_newton(I, G);
  double best = 0;
  for (int start = 0; start < starts; ++start) {
    Vector<double> w = random_vectors(at.output_size(), 1, seed + static_cast<std::uint64_t>(start));
    for (int i = 0; i < iterations && w.norm() > 0; ++i) {
      w /= w.norm();
      with_residual(instance, w).linearize().hessian(I, H);
      const Vectors<double> T = ((H - G) + (H - G).transpose()) / 2;
      const Eigen::SelfAdjointEigenSolver<Vectors<double>> eigen(T);
      const bool last = eigen.eigenvalues()[P - 1] > -eigen.eigenvalues()[0];
      best = std::max(best, std::abs(eigen.eigenvalues()[last ? P - 1 : 0]));
      const Vectors<double> u = eigen.eigenvectors().col(last ? P - 1 : 0);
      w = central_difference(
          [&](double t) {
            const Vector<double> theta = instance.theta() + t * u;
            Vectors<double> dF(at.output_size(), 1);
            instance.at(theta).linearize().jvp(u, dF);
            return Vector<double>(dF);
          },
          1e-3);
    }
  }
  return best;
}

/// Small shapes, degenerate ones among them; three sizes of weights.
Case random_case(Random& random, KernelKind kernel, const std::vector<std::string>& trainable) {
  const auto draw = [&](Index most) { return 1 + static_cast<Index>(random.uniform() * most); };
  Case c = {"random", draw(3), draw(4), draw(4), draw(2), draw(3), draw(3), kernel};
  c.duplicate_tokens = random.uniform() < 0.1;
  c.trainable = trainable;
  return c;
}

ModelPoint<double> random_instance(Random& random, const Case& c) {
  ModelPoint<double> instance = make_instance(c, static_cast<std::uint64_t>(random.uniform() * 1e9));
  instance.weights *= std::pow(3.0, std::floor(random.uniform() * 3) - 1);
  return instance;
}

/// theta at most R from that of the instance.
Vector<double> point_in_ball(Random& random, const ModelPoint<double>& instance, double R) {
  Vector<double> step(instance.theta().size());
  random.fill_normal(step);
  return instance.theta() + step * (R * random.uniform() / step.norm());
}

/// One head, one sample, d = D_out = 1 or more, with data and weights given in full.
struct Explicit {
  std::string name;
  KernelKind kernel;
  std::vector<std::string> trainable;
  Matrix<double> X;
  Index d = 1;
  double q = 0, k = 0, v = 0, o = 0;  // the first entry of each block (of W_V: the last row); the rest is 0
  double sigma = 0;

  Case shape() const {
    Case c = {name, 1, X.rows(), X.cols(), 1, d, 1, kernel, sigma};
    c.trainable = trainable;
    return c;
  }
  ModelPoint<double> instance() const {
    auto data = std::make_shared<Data<double>>(Data<double>{1, X, Matrix<double>::Zero(X.rows(), 1)});
    Vector<double> weights = Vector<double>::Zero(3 * X.cols() * d + d);
    weights[0] = q;
    weights[X.cols() * d] = k;
    weights[2 * X.cols() * d + (X.cols() - 1) * d] = v;
    weights[3 * X.cols() * d] = o;
    return {build_single_attention<double>(shape().spec(), trainable), weights, data};
  }
};

Matrix<double> rows(std::initializer_list<std::initializer_list<double>> entries) {
  Matrix<double> X(static_cast<Index>(entries.size()), static_cast<Index>(entries.begin()->size()));
  Index i = 0;
  for (const auto& row : entries) {
    std::copy(row.begin(), row.end(), X.row(i).data());
    ++i;
  }
  return X;
}

/// Constants of a model with L(R) = L for all R: W_V and W_O trained, one head, |B| = L.
NormConstants constant_curvature(double L) {
  NormConstants norms{};
  norms.kernel = KernelKind::softmax;
  norms.tokens = norms.head_dim = norms.sigma = 1;
  norms.trained = {false, false, true, true};
  norms.heads = {HeadNorms{}};
  norms.heads[0].mixed = L;
  return norms;
}

}  // namespace

TEST_CASE("no second derivative within the ball exceeds the bound", "[many]") {
  const OneThread one_thread;
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Random random(1, "second derivatives " + kernel_name(kind));
  double tightest = 0;
  for (const auto& trainable : all_trainable_sets())
    for (int draw = 0; draw < 60; ++draw) {
      const Case c = random_case(random, kind, trainable);
      const ModelPoint<double> instance = random_instance(random, c);
      const double R = std::exp2(4 * random.uniform() - 3);
      const double bound = second_derivative_bound(norm_constants(instance), R);
      const ModelPoint<double> there = instance.at(point_in_ball(random, instance, R));
      const double norm = second_derivative_norm(there, 1, 2, 5);
      CAPTURE(describe(c), draw, R, bound, norm);
      CHECK(norm <= bound * (1 + 1e-9) + 1e-10);  // rounding of second derivatives that vanish
      if (bound > 0) tightest = std::max(tightest, norm / bound);
    }
  CHECK(tightest > 0.9);  // W_V and W_O: the bound is exact
}

TEST_CASE("Jacobians within the ball differ by no more than the bound times the distance") {
  const OneThread one_thread;
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Random random(1, "Jacobians " + kernel_name(kind));
  for (const auto& trainable : all_trainable_sets())
    for (int draw = 0; draw < 60; ++draw) {
      const Case c = random_case(random, kind, trainable);
      const ModelPoint<double> instance = random_instance(random, c);
      const NormConstants norms = norm_constants(instance);
      const double R = std::exp2(4 * random.uniform() - 3), bound = second_derivative_bound(norms, R);
      const Vector<double> a = point_in_ball(random, instance, R), b = point_in_ball(random, instance, R);
      const auto jacobian = [&](const Vector<double>& theta) {
        return instance.at(theta).linearize().jacobian_transposed();
      };
      const Vectors<double> at_a = jacobian(a), at_b = jacobian(b), at_0 = jacobian(instance.theta());
      CAPTURE(describe(c), draw, R, bound);
      const double rounding = 1e-13 * at_a.norm() + 1e-13;
      CHECK(singular_values(at_a - at_b)[0] <= bound * (a - b).norm() + rounding);
      CHECK(singular_values(at_a - at_0)[0] <= jacobian_deviation(norms, R) + rounding);
    }
}

TEST_CASE("each constant of the bound is attained") {
  const KernelKind softmax = KernelKind::softmax, gaussian = KernelKind::gaussian;
  // Two tokens 0 and x: the second attends to both with probabilities p, 1 - p.
  const Matrix<double> pair = rows({{0}, {2}});
  const double skewed =
      std::log((1 + 1 / std::sqrt(3.0)) / (1 - 1 / std::sqrt(3.0)));  // extreme third moment
  // Equal tokens; n = 3, so that powers of n are told apart.
  const Matrix<double> equal = rows({{1.5}, {1.5}, {1.5}});
  // One long query, equal values.
  const Matrix<double> far = rows({{30, 0.01}, {0, 0.01}, {0, 0.01}});
  // One key takes all of the attention.
  const Matrix<double> tied = rows({{1e-3}, {1}, {1e-3}});
  const std::vector<Explicit> cases = {
      {"third derivative of softmax, W_Q", softmax, {"W_Q"}, pair, 1, skewed / 4, 1, 0.7, 0.9},
      {"third derivative of softmax, W_K", softmax, {"W_K"}, pair, 1, 0.5, skewed / 2, 0.7, 0.9},
      {"d, W_Q", softmax, {"W_Q"}, pair, 4, skewed / 2, 1, 0.7, 0.9},
      {"d, W_K", softmax, {"W_K"}, pair, 4, 0.5, skewed, 0.7, 0.9},
      {"scores are bilinear", softmax, {"W_Q", "W_K"}, pair, 1, 0, 0, 0.7, 0.9},
      {"scores are bilinear, d", softmax, {"W_Q", "W_K"}, pair, 4, 0, 0, 0.7, 0.9},
      {"W_Q with W_V", softmax, {"W_Q", "W_V"}, pair, 1, 0, 0.8, 0, 0.9},
      {"W_Q with W_O", softmax, {"W_Q", "W_O"}, pair, 1, 0, 0.8, 0.7, 0},
      {"W_K with W_V", softmax, {"W_K", "W_V"}, pair, 1, 0.8, 0, 0, 0.9},
      {"W_K with W_O, d", softmax, {"W_K", "W_O"}, pair, 4, 0.8, 0, 0.7, 0},
      {"W_V with W_O", softmax, {"W_V", "W_O"}, pair, 1, 0.8, 0.6, 0.7, 0.9},
      {"one key", softmax, {"W_Q", "W_V", "W_O"}, rows({{1e-3}, {1}}), 1, 1e3, 1e3, 0, 0},
      {"Gaussian, n", gaussian, {"W_Q"}, far, 1, 0, 0, 0.7, 0.9},
      {"Gaussian, W_Q and W_K", gaussian, {"W_Q", "W_K"}, equal, 1, 0, 0, 0.7, 0.9},
      {"Gaussian, sigma", gaussian, {"W_Q", "W_K"}, equal, 1, 0, 0, 0.7, 0.9, 0.6},
      {"Gaussian, W_Q and W_K with W_V", gaussian, {"W_Q", "W_K", "W_V"}, equal, 1, 0.4, 0, 0, 0.9, 0.6},
      {"Gaussian, W_Q with W_V", gaussian, {"W_Q", "W_V"}, equal, 1, 0.4, 0, 0, 0.9, 0.6},
      {"Gaussian, W_Q with W_O", gaussian, {"W_Q", "W_O"}, equal, 1, 0.4, 0, 0.7, 0, 0.6},
      {"Gaussian, W_V with W_O", gaussian, {"W_V", "W_O"}, equal, 1, 0.8, 0.6, 0.7, 0.9},
      {"Gaussian, all keys", gaussian, {"W_Q", "W_V", "W_O"}, equal, 1, 0, 0, 0, 0},
  };
  for (const Explicit& example : cases) {
    const ModelPoint<double> instance = example.instance();
    const double bound = second_derivative_bound(norm_constants(instance), 0);
    const double norm = second_derivative_norm(instance, 1, 6, 8);
    CAPTURE(example.name, norm / bound);
    CHECK(norm <= bound * (1 + 1e-9));
    CHECK(norm >= bound * (1 - 1e-5));
  }
}

TEST_CASE("the bound over a ball is the one at its worst point") {
  // All sizes 1 but two tokens: there every norm in the bound grows as fast as it says when a block grows by
  // R.
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const auto& trainable : all_trainable_sets()) {
    const Explicit example = {"one feature", kind, trainable, rows({{-0.3}, {1.1}}), 1, 0.5, 0.8, 0.7, 0.9};
    const ModelPoint<double> instance = example.instance();
    const double R = 0.37;
    const ModelPoint<double> worst = instance.at(Vector<double>(instance.theta().array() + R));
    const HeadBound ball = second_derivative_bounds(norm_constants(instance), R).front();
    const HeadBound point = second_derivative_bounds(norm_constants(worst), 0).front();
    CAPTURE(describe(example.shape()));
    CHECK(ball.alpha == Approx(point.alpha).epsilon(1e-11));
    CHECK(ball.gamma == Approx(point.gamma).epsilon(1e-11));
    CHECK(ball.delta ==
          Approx(kind == KernelKind::softmax || trainable.size() > 2 ? point.delta : ball.delta));
  }
}

TEST_CASE("the bound over a ball covers every smaller ball within") {
  const OneThread one_thread;
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Random random(1, "balls " + kernel_name(kind));
  for (const auto& trainable : all_trainable_sets())
    for (int draw = 0; draw < 10; ++draw) {
      const Case c = random_case(random, kind, trainable);
      const ModelPoint<double> instance = random_instance(random, c);
      const double R = std::exp2(4 * random.uniform() - 3);
      const Vector<double> theta = point_in_ball(random, instance, R);
      const double rest = R - (theta - instance.theta()).norm();
      CAPTURE(describe(c), draw);
      CHECK(second_derivative_bound(norm_constants(instance.at(theta)), rest) <=
            second_derivative_bound(norm_constants(instance), R) * (1 + 1e-9));
    }
}

TEST_CASE("special cases of the bound") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"special", 3, 3, 4, 2, 3, 2, kind};
  const auto norms_for = [&](const std::vector<std::string>& trainable) {
    c.trainable = trainable;
    return norm_constants(make_instance(c));
  };
  for (const double R : {0.0, 0.1, 10.0}) {
    CHECK(second_derivative_bound(norms_for({"W_V"}), R) == 0);
    CHECK(second_derivative_bound(norms_for({"W_O"}), R) == 0);

    const NormConstants products = norms_for({"W_V", "W_O"});
    CHECK(second_derivative_bound(products, R) ==
          Approx(std::max(products.heads[0].mixed, products.heads[1].mixed)));

    const NormConstants query = norms_for({"W_Q"});
    const double one_over_scale = 1 / std::sqrt(3.0);  // 1 / d^(1/2) = 1 / sigma^2
    double expected = 0;
    for (const HeadNorms& head : query.heads)
      expected =
          std::max(expected,
                   kind == KernelKind::softmax
                       ? std::sqrt(6.0) / 9 * head.outputs * head.keys * head.keys * query.chi * query.rho / 3
                       : head.outputs * std::sqrt(3.0) * query.chi * query.rho * one_over_scale);
    CHECK(second_derivative_bound(query, R) == Approx(expected));

    if (kind == KernelKind::gaussian)
      CHECK(second_derivative_bound(norms_for({"W_Q", "W_K"}), R) == Approx(2 * expected));
  }
  const NormConstants all = norms_for(attention_blocks());
  CHECK(second_derivative_bound(all, 0.2) > second_derivative_bound(all, 0.1));
  double largest = 0;
  for (const HeadBound& head : second_derivative_bounds(all, 0.1)) largest = std::max(largest, head.norm());
  CHECK(second_derivative_bound(all, 0.1) == Approx(largest));
  Eigen::Matrix2d M;
  M << 3, 2, 2, 1;
  CHECK(HeadBound{3, 2, 1}.norm() ==
        Approx(Eigen::SelfAdjointEigenSolver<Eigen::Matrix2d>(M).eigenvalues()[1]));

  // Softmax does not see W_Q and W_K when there is one token: only W_V W_O is not linear.
  if (kind == KernelKind::softmax) {
    c = {"one token", 3, 1, 4, 2, 3, 2};
    const NormConstants one = norm_constants(make_instance(c));
    CHECK(second_derivative_bound(one, 5) == Approx(one.chi));
  }
}

TEST_CASE("the deviation is an upper sum, close to the integral") {
  Case c = {"integral", 2, 3, 4, 2, 3, 2};
  const NormConstants norms = norm_constants(make_instance(c));
  CHECK(jacobian_deviation(norms, 0) == 0);
  for (const double R : {0.01, 0.3, 2.0}) {
    double integral = 0;  // midpoints
    const int cells = 5000;
    for (int i = 0; i < cells; ++i)
      integral += second_derivative_bound(norms, R * (i + 0.5) / cells) * R / cells;
    const double rise = second_derivative_bound(norms, R) - second_derivative_bound(norms, 0);
    CHECK(jacobian_deviation(norms, R) >= integral);
    CHECK(jacobian_deviation(norms, R) <= integral + rise * R / 64);
    CHECK(jacobian_deviation(norms, R) == Approx(integral + rise * R / 128).epsilon(1e-3));
  }
}

TEST_CASE("for constant curvature the certificate has a closed form") {
  // R (s0 - L R) > C r0: largest residual s0^2 / (4 C L) at R = s0 / (2 L).
  const double L = 3, s0 = 0.7, S0 = 5;
  const NormConstants norms = constant_curvature(L);
  for (const double c : {0.0, 0.5, 1.0}) {
    const double C = 1 / (1 - c / 2), largest = s0 * s0 / (4 * C * L);
    CHECK(largest_residual(norms, s0, c) == Approx(largest).epsilon(1e-11));
    CHECK(largest_residual(norms, s0, c) < largest);
    const double r0 = 0.6 * largest;
    const Certificate passing = ball_certificate(norms, s0, S0, r0, c);
    const double R = (s0 - std::sqrt(s0 * s0 - 4 * L * C * r0)) / (2 * L), s_star = s0 - L * R;
    CHECK(passing.passes);
    CHECK(passing.c == c);
    CHECK(passing.sigma_min == s0);
    CHECK(passing.sigma_max == S0);
    CHECK(passing.residual_norm == r0);
    CHECK(passing.margin == Approx(1 / 0.6));
    CHECK(passing.largest_residual == Approx(largest));
    CHECK(passing.radius == Approx(R).epsilon(1e-10));
    CHECK(passing.curvature == Approx(L));
    CHECK(passing.deviation == Approx(L * R));
    CHECK(passing.s_star == Approx(s_star));
    CHECK(passing.beta == Approx((S0 + L * R) * (S0 + L * R) + L * r0));
    CHECK(passing.step == Approx(c / passing.beta));
    CHECK(passing.rate == Approx(1 - 2 * c * (1 - c / 2) * s_star * s_star / passing.beta));
    CHECK(passing.path_length == Approx(C * r0 / s_star));
    CHECK(passing.path_length < passing.radius);

    const Certificate failing = ball_certificate(norms, s0, S0, 2 * largest, c);
    CHECK_FALSE(failing.passes);
    CHECK(failing.margin == Approx(0.5));
    CHECK(failing.radius == Approx(s0 / (2 * L)).epsilon(1e-4));
    CHECK(failing.s_star == Approx(s0 / 2).epsilon(1e-4));
    CHECK(failing.step == 0);
    CHECK(failing.rate == 1);
    CHECK(failing.path_length == kInfinity);
  }
}

TEST_CASE(
    "the certificate passes below the largest residual and fails above, and worsens with the residual") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const double c = GENERATE(0.0, 0.3, 1.0);
  Random random(1, "largest residual " + kernel_name(kind));
  for (const auto& trainable : all_trainable_sets()) {
    const Case shape = random_case(random, kind, trainable);
    const NormConstants norms = norm_constants(random_instance(random, shape));
    const double s0 = 0.1 + random.uniform(), S0 = 4;
    const double largest = largest_residual(norms, s0, c);
    CAPTURE(describe(shape), c, s0, largest);
    if (second_derivative_bound(norms, 1) == 0) {
      CHECK(largest == kInfinity);
      continue;
    }
    CHECK(ball_certificate(norms, s0, S0, largest * (1 - 1e-9), c).passes);
    CHECK_FALSE(ball_certificate(norms, s0, S0, largest * (1 + 1e-9), c).passes);
    // No radius on a fine grid does better.
    for (double R = 1e-6; R < 1e3; R *= 1.07)
      CHECK((1 - c / 2) * R * (s0 - jacobian_deviation(norms, R)) <= largest * (1 + 1e-11));
    Certificate last = ball_certificate(norms, s0, S0, 0, c);
    for (int i = 1; i <= 10; ++i) {
      const double r0 = largest * (i < 10 ? i / 10.0 : 1 - 1e-9);
      const Certificate next = ball_certificate(norms, s0, S0, r0, c);
      REQUIRE(next.passes);
      CHECK(next.radius > last.radius);
      CHECK(next.s_star <= last.s_star);
      CHECK(next.s_star >= s0 / 2 * (1 - 1e-6));
      CHECK(next.beta >= last.beta);
      CHECK(next.rate >= last.rate);
      CHECK(next.margin < last.margin);
      CHECK(next.path_length > last.path_length);
      CHECK(next.path_length < next.radius);
      CHECK(next.radius <= next.path_length * (1 + 1e-10));  // the smallest ball that passes
      last = next;
    }
  }
}

TEST_CASE("degenerate certificates") {
  SECTION("at a minimum already") {
    for (const double s0 : {0.0, 0.5}) {
      const Certificate at = ball_certificate(constant_curvature(2), s0, 3, 0);
      CHECK(at.passes);
      CHECK(at.radius == 0);
      CHECK(at.path_length == 0);
      CHECK(at.s_star == s0);
      CHECK(at.step == Approx(1 / 9.0));
      CHECK(at.margin == kInfinity);
    }
    const Certificate constant = ball_certificate(constant_curvature(kInfinity), 0, 0, 0);
    CHECK(constant.passes);
    CHECK(constant.step == 0);
    CHECK(constant.rate == 1);
  }
  SECTION("a singular kernel") {
    for (const double L : {0.0, 2.0}) {
      const Certificate at = ball_certificate(constant_curvature(L), 0, 3, 1e-8);
      CHECK_FALSE(at.passes);
      CHECK(at.radius == 0);
      CHECK(at.s_star == 0);
      CHECK(at.margin == 0);
      CHECK(at.largest_residual == 0);
    }
  }
  SECTION("linear in theta: any residual") {
    const Certificate at = ball_certificate(constant_curvature(0), 0.5, 3, 1e8);
    CHECK(at.passes);
    CHECK(at.margin == kInfinity);
    CHECK(at.radius == Approx(2 * 1e8 / 0.5));
    CHECK(at.s_star == 0.5);
    CHECK(at.beta == 9);
    CHECK(at.rate == Approx(1 - 0.25 / 9));
    CHECK(largest_residual(constant_curvature(0), 0.5) == kInfinity);
  }
  SECTION("tiny and huge scales") {
    for (const double L : {1e-40, 1e40}) {
      CHECK(largest_residual(constant_curvature(L), 0.5) == Approx(0.25 / (8 * L)));
      CHECK(ball_certificate(constant_curvature(L), 0.5, 3, 0.2 / (8 * L)).passes);
    }
  }
  SECTION("a bound that overflows, or is not a number") {
    for (const double L : {kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
      CHECK(second_derivative_bound(constant_curvature(L), 1) == kInfinity);
      const Certificate at = ball_certificate(constant_curvature(L), 0.5, 3, 1e-8);
      CHECK_FALSE(at.passes);
      CHECK(at.margin == 0);
      CHECK(at.deviation == 0);
    }
    Case c = {"overflow", 2, 2, 3, 1, 2, 2};
    ModelPoint<double> instance = make_instance(c);
    instance.weights *= 1e200;
    CHECK(second_derivative_bound(norm_constants(instance), 1) == kInfinity);
    // Only squares overflow.
    auto data = std::make_shared<Data<double>>(*instance.data);
    data->X *= 1e-200;
    instance.data = data;
    const NormConstants norms = norm_constants(instance);
    CHECK(norms.heads[0].query == Approx(norm_constants(make_instance(c)).heads[0].query));
    CHECK(norms.heads[0].keys == Approx(norm_constants(make_instance(c)).heads[0].keys));
  }
  SECTION("what makes no sense is refused") {
    const NormConstants norms = constant_curvature(1);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(ball_certificate(norms, -1, 1, 1), InputError);
    CHECK_THROWS_AS(ball_certificate(norms, 2, 1, 1), InputError);
    CHECK_THROWS_AS(ball_certificate(norms, nan, 1, 1), InputError);
    CHECK_THROWS_AS(ball_certificate(norms, 1, kInfinity, 1), InputError);
    CHECK_THROWS_AS(ball_certificate(norms, 1, 1, nan), InputError);
    CHECK_THROWS_AS(ball_certificate(norms, 1, 1, 1, 1.5), InputError);
    CHECK_THROWS_AS(largest_residual(norms, 1, -0.5), InputError);
    Case c = {"shapes", 2, 2, 3, 1, 2, 2};
    ModelPoint<double> instance = make_instance(c);
    AttentionSpec wrong = c.spec();
    wrong.tokens = 3;
    const ModelPoint<double> misfit = {build_single_attention<double>(wrong), instance.weights,
                                       instance.data};
    CHECK_THROWS_AS(norm_constants(misfit), InputError);
    CHECK_THROWS_AS(norm_constants(instance.at_weights(instance.weights.head(3))), InputError);
    instance.weights[0] = nan;
    CHECK_THROWS_AS(norm_constants(instance), InputError);
  }
}

TEST_CASE("certified gradient descent keeps what it was promised") {
  const OneThread one_thread;
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const double c = GENERATE(0.4, 1.0);
  for (const auto& trainable : all_trainable_sets()) {
    Case shape = {"certified", 2, 2, 5, 2, 3, 2, kind};
    shape.trainable = trainable;
    CAPTURE(describe(shape), c);
    ModelPoint<double> instance = make_instance(shape);
    const Vector<double> at_0 = singular_values(instance.linearize().jacobian_transposed());
    const double s0 = at_0.tail(1)[0] * (1 - 1e-10), S0 = at_0[0] * (1 + 1e-10);
    const NormConstants norms = norm_constants(instance);
    Vector<double> r = random_vectors(at_0.size(), 1, 3);
    r *= std::min(10.0, 0.95 * largest_residual(norms, s0, c)) / r.norm();
    instance = with_residual(instance, r);
    const Certificate certificate = ball_certificate(norms, s0, S0, r.norm(), c);
    REQUIRE(certificate.passes);

    const Vector<double> theta_0 = instance.theta();
    Vector<double> theta = theta_0;
    double path = 0, last = kInfinity;
    for (int step = 0; step < 400; ++step) {
      const Linearization<double> at = instance.at(theta).linearize();
      if (at.loss() < 1e-20) break;
      CHECK(at.loss() <= certificate.rate * last + 1e-13 * at.loss());
      CHECK((theta - theta_0).norm() < certificate.radius);
      CHECK(path <= certificate.path_length);
      const Vector<double> values = singular_values(at.jacobian_transposed());
      CHECK(values.tail(1)[0] >= certificate.s_star * (1 - 1e-12));
      CHECK(values[0] <= (S0 + certificate.deviation));
      last = at.loss();
      theta -= certificate.step * at.gradient();
      path += certificate.step * at.gradient().norm();
    }
  }
}

TEST_CASE("scalings of the targets") {
  Matrix<double> F = rows({{3, 1}, {0, 2}}), Y = rows({{2, 0}, {0, 0}});
  // |F - t Y|^2 = (3 - 2 t)^2 + 5
  const auto interval = target_scalings(F, Y, 3);
  REQUIRE(interval);
  CHECK(interval->low == Approx(0.5));
  CHECK(interval->high == Approx(2.5));
  CHECK_FALSE(target_scalings(F, Y, 2.2));
  CHECK(target_scalings(F, Y, 2.24));
  CHECK(target_scalings(F, Y, kInfinity)->low == -kInfinity);
  const Matrix<double> zero = Matrix<double>::Zero(2, 2);
  CHECK(target_scalings(F, zero, 4)->high == kInfinity);
  CHECK_FALSE(target_scalings(F, zero, 3));
  CHECK_THROWS_AS(target_scalings(F, rows({{1}}), 1), InputError);
}

TEST_CASE("the nearest gain that passes") {
  const auto passes_when = [](auto condition) {
    return [condition](double gain) {
      Certificate certificate;
      certificate.passes = condition(gain);
      return certificate;
    };
  };
  CHECK(*passing_gain(passes_when([](double) { return true; })) == 1);
  CHECK_FALSE(passing_gain(passes_when([](double) { return false; })));
  const double above = *passing_gain(passes_when([](double g) { return g >= 5; }));
  CHECK(above >= 5);
  CHECK(above == Approx(5).epsilon(1e-6));
  CHECK(*passing_gain(passes_when([](double g) { return g >= 2.01; })) == Approx(2.01).epsilon(1e-6));
  const double below = *passing_gain(passes_when([](double g) { return g <= 0.01; }));
  CHECK(below <= 0.01);
  CHECK(below == Approx(0.01).epsilon(1e-6));
  // Both sides within one step of the grid: the nearer one.
  CHECK(*passing_gain(passes_when([](double g) { return g > 3.9 || g < 1 / 3.7; })) ==
        Approx(1 / 3.7).epsilon(1e-6));
  CHECK(*passing_gain(passes_when([](double g) { return g > 3.1 || g < 1 / 3.7; })) ==
        Approx(3.1).epsilon(1e-6));
  CHECK(*passing_gain(passes_when([](double g) { return g >= 4; }), 4) == 4);
  CHECK_FALSE(passing_gain(passes_when([](double g) { return g > 5; }), 4));
  CHECK_THROWS_AS(passing_gain(passes_when([](double) { return true; }), 0.5), InputError);
}

TEST_CASE("a gain that passes between two powers that fail is found around the largest margin") {
  for (const double peak : {0.26, -0.26, 3.7, -5.2}) {
    const auto certify = [peak](double gain) {
      Certificate c;
      c.margin = 0.01 / std::abs(std::log2(gain) - peak);
      c.passes = c.margin > 1;
      return c;
    };
    CAPTURE(peak);
    const std::optional<double> gain = passing_gain(certify, 64);
    REQUIRE(gain);
    // The end of the passing interval that is nearer to 1.
    CHECK(std::log2(*gain) == Approx(peak > 0 ? peak - 0.01 : peak + 0.01).margin(2e-6));
  }
}
