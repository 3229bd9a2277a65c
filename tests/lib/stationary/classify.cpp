#include "basin/stationary/classify.h"

#include <catch2/catch.hpp>

#include "basin/curvature/operators.h"
#include "basin/linalg/dense.h"
#include "basin/problem/constructions.h"
#include "basin/stationary/search.h"
#include "support/cases.h"
#include "support/loss.h"
#include "support/stationary.h"

using namespace basin;
using namespace basin::test;

namespace {

ModelLoss constructed(const Construction& c, KernelKind kernel, const std::vector<std::string>& trained) {
  Network net = c.problem.network;
  net.kernel = kernel;
  const AttentionSpec spec = c.problem.spec(net, 1, 1);
  return loss_of({build_single_attention<double>(spec, trained), net.weights->values,
                  std::make_shared<Data<double>>(c.problem.data)});
}

StationaryPoint judge(const ModelLoss& loss, const Vector<double>& theta, Index dense_limit = kDenseLimit) {
  ModelObjective f = loss.objective();
  return classify(loss, f, *f.at(theta), std::nullopt, dense_limit);
}

StationaryPoint judge(const ModelLoss& loss, Index dense_limit = kDenseLimit) {
  return judge(loss, loss.point.theta(), dense_limit);
}

using Blocks = std::vector<std::string>;

}  // namespace

TEST_CASE("constructions are what theory says they are") {
  const auto softmax = KernelKind::softmax, gaussian = KernelKind::gaussian;
  const Construction trap = construction("softmax-trap"), other = construction("gaussian-trap"),
                     saddle = construction("softmax-saddle"), zero = construction("zero-scores");
  const Blocks Q = {"W_Q"}, QK = {"W_Q", "W_K"};

  const StationaryPoint a = judge(constructed(trap, softmax, Q));
  CHECK(a.kind == PointKind::strict_minimum);
  CHECK(a.curvature.smallest == Approx(0.25).margin(a.curvature.smallest_bound));
  CHECK(a.curvature.positive == 4);

  const StationaryPoint b = judge(constructed(trap, softmax, QK));
  CHECK(b.kind == PointKind::saddle);
  CHECK(b.curvature.negative == 1);
  CHECK(b.curvature.smallest == Approx(-1.575).epsilon(2e-4));

  const StationaryPoint c = judge(constructed(other, gaussian, Q));
  CHECK(c.kind == PointKind::strict_minimum);
  CHECK(c.at.loss == Approx(0.2493259).epsilon(1e-7));
  CHECK(c.curvature.smallest == Approx(0.4942).epsilon(1e-4));

  const StationaryPoint d = judge(constructed(saddle, softmax, QK));
  CHECK(d.kind == PointKind::saddle);
  CHECK(d.curvature.smallest == Approx(-0.09449).epsilon(1e-4));

  for (const KernelKind kernel : {softmax, gaussian})
    CHECK(judge(constructed(zero, kernel, QK)).kind == PointKind::saddle);

  CHECK(judge(constructed(trap, gaussian, Q)).kind == PointKind::not_stationary);
  CHECK(judge(constructed(saddle, gaussian, QK)).kind == PointKind::not_stationary);
}

TEST_CASE("counts on the complement are the inertia of the dense Hessian, symmetries apart") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const double residual : {1e-3, 5.0}) {
      const Case c = {"counts", 8, 4, 3, 2, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c), residual);
      const ModelLoss loss = loss_of(x);
      const StationaryPoint p = judge(loss);
      const Linearization<double> at = x.linearize();
      const Vector<double> values = symmetric_eigen(assemble(HessianOperator(at)), false).values;
      const double zero = 1e-9 * values.cwiseAbs().maxCoeff();
      CAPTURE(kernel_name(kind), residual, p.at.gradient.norm(), p.rounding.gradient);
      CHECK(p.curvature.negative == (values.array() < -zero).count());
      CHECK(p.curvature.positive == (values.array() > zero).count());
      CHECK(p.curvature.zero == 0);
      const Index first = values[0] < -zero ? 0 : (values.array() <= zero).count();
      CHECK(p.curvature.smallest == Approx(values[first]).margin(1e-10));
      CHECK(p.kind == (values[0] < -zero ? PointKind::saddle : PointKind::strict_minimum));
      CHECK(p.curvature.newton_step <= 1e-9);
      // the same from products
      const StationaryPoint q = judge(loss, 0);
      CHECK(q.curvature.from == CountsFrom::smallest);
      CHECK(q.kind == p.kind);
      CHECK(q.curvature.smallest == Approx(p.curvature.smallest).margin(1e-9));
      if (q.curvature.exact) CHECK(q.curvature.negative == p.curvature.negative);
    }
}

namespace {

/// W_V moved so that grad f = 0 where W_O = 0, and W_O = size (1, 0.7).
ModelLoss collapsed(KernelKind kind, double size) {
  const Case c = {"collapsed", 3, 2, 3, 1, 2, 1, kind, 0, 1, false, 0, 0, {"W_V", "W_O"}};
  ModelPoint<double> x = make_instance(c);
  x.weights.tail(2).setZero();
  // the gradient in W_O is linear in W_V: W_V^T b
  Vector<double> b(3);
  for (Index i = 0; i < 3; ++i) {
    x.weights.segment(12, 6).setZero();
    x.weights[12 + 2 * i] = 1;
    b[i] = x.linearize().gradient()[6];
  }
  Matrix<double> W_V = random_vectors(3, 2, 4);
  W_V -= b * (b.transpose() * W_V) / b.squaredNorm();
  x.weights.segment(12, 6) = W_V.reshaped<Eigen::RowMajor>();
  x.weights.tail(2) << size, 0.7 * size;
  return loss_of(x);
}

}  // namespace

TEST_CASE("a block that has collapsed to rounding hides no negative eigenvalue behind its gauge") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const Index dense_limit : {kDenseLimit, Index{0}}) {
      const StationaryPoint zero = judge(collapsed(kind, 0), dense_limit);
      CHECK(zero.kind == PointKind::saddle);
      CHECK(zero.curvature.negative == 2);
      for (const double size : {1e-25, 1e-20, 1e-16}) {
        const StationaryPoint p = judge(collapsed(kind, size), dense_limit);
        CAPTURE(kernel_name(kind), dense_limit, size, p.at.gradient.norm(), p.rounding.gradient);
        CHECK(p.kind == PointKind::saddle);
        CHECK(p.curvature.negative == 2);
        CHECK(p.curvature.removed == zero.curvature.removed);
        CHECK(p.curvature.smallest == Approx(zero.curvature.smallest));
      }
      // and next to it, where the gauge says something else, polishing gets there
      for (const double size : {1e-5, 1e-7}) {
        const ModelLoss near = collapsed(kind, size);
        ModelObjective f = near.objective();
        const Iterate start = *f.at(near.point.theta());
        PolishOptions options;
        options.dense_limit = dense_limit;
        const Polished p = polish(near, f, start, options);
        CAPTURE(kernel_name(kind), dense_limit, size, p.at.gradient.norm(), p.rounding.gradient);
        CHECK(start.gradient.norm() > 1e2 * p.rounding.gradient);
        CHECK(p.at.gradient.norm() <= p.rounding.gradient);
        CHECK(p.length <= 1e2 * size);
      }
    }
}

TEST_CASE("small residuals give strict minima, large ones saddles: both kinds are there") {
  // what the case above relies on
  Index minima = 0, saddles = 0;
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const double residual : {1e-3, 5.0}) {
      const Case c = {"counts", 8, 4, 3, 2, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c), residual);
      const PointKind found = judge(loss_of(x)).kind;
      minima += found == PointKind::strict_minimum, saddles += found == PointKind::saddle;
    }
  CHECK(minima == 2);
  CHECK(saddles == 2);
}

TEST_CASE("a strict minimum is one also a Newton step away, whatever the allowance, and whatever has grown") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const Index dense_limit : {kDenseLimit, Index{0}}) {
      const Case c = {"counts", 8, 4, 3, 2, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c), 1e-3);
      const ModelLoss loss = loss_of(x);
      const StationaryPoint p = judge(loss, dense_limit);
      REQUIRE(p.kind == PointKind::strict_minimum);
      ModelObjective f = loss.objective();
      Extent before = extent_of(*loss.theory, loss.point.at(x.theta()));
      before.theta /= 10;  // the sign of weights that explode
      for (const double away : {1e-8, 1e-6}) {
        const Iterate near = *f.at(x.theta() + away * p.curvature.soft_move.normalized());
        const StationaryPoint q = classify(loss, f, near, before, dense_limit);
        CAPTURE(kernel_name(kind), dense_limit, away, q.at.gradient.norm(), q.rounding.gradient,
                q.curvature.contraction, q.curvature.zero);
        CHECK(q.at.gradient.norm() > q.rounding.gradient);
        CHECK(q.valley == Valley::exploding);
        CHECK(q.kind == PointKind::strict_minimum);
        CHECK(q.curvature.newton_step == Approx(away).epsilon(0.1));
        CHECK(q.curvature.contraction < 0.1);
        CHECK(std::abs(q.at.loss - p.at.loss) <= q.loss_error);
      }
      // too far for Newton's method to be trusted
      const Iterate far = *f.at(x.theta() + p.curvature.soft_move.normalized());
      CHECK(classify(loss, f, far, std::nullopt, dense_limit).kind == PointKind::not_stationary);
    }
}

TEST_CASE("blocks of different scales hide no curvature: W_V and W_O in another gauge") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const double residual : {1e-3, 5.0}) {
      const Case c = {"counts", 8, 4, 3, 2, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c), residual);
      const StationaryPoint p = judge(loss_of(x));
      const Index size = c.H * c.D * c.d;
      for (const double factor : {0x1p-20, 0x1p10, 0x1p22}) {
        Vector<double> weights = x.weights;
        weights.segment(2 * size, size) *= factor;
        weights.tail(c.H * c.d * c.D_out) /= factor;
        const StationaryPoint q = judge(loss_of(x.at_weights(weights)));
        CAPTURE(kernel_name(kind), residual, factor, completeness(q.curvature.from, q.curvature.exact),
                q.curvature.tolerance, q.curvature.undecided);
        CHECK(q.kind == p.kind);
        CHECK(q.curvature.negative == p.curvature.negative);
        CHECK(q.curvature.zero == 0);
        CHECK(q.curvature.positive == p.curvature.positive);
        CHECK(q.curvature.removed == p.curvature.removed);
      }
    }
}

TEST_CASE("what is not counted is not called positive") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const Case c = {"counts", 8, 4, 3, 2, 2, 2, kind};
    const ModelPoint<double> x = made_stationary(make_instance(c), 50);
    const ModelLoss loss = loss_of(x);
    const PointCurvature all = judge(loss).curvature, few = judge(loss, 0).curvature;
    CAPTURE(kernel_name(kind), all.negative, few.negative);
    REQUIRE(all.negative > 6);
    CHECK(all.uncounted() == 0);
    CHECK_FALSE(few.exact);
    CHECK(few.negative == 6);  // so many eigenvalues are looked at
    CHECK(few.positive == 0);
    CHECK(few.uncounted() == all.size - all.removed - 6);
  }
}

TEST_CASE(
    "counts by inertia are those of all eigenvalues: a model with many features that the data do not see",
    "[many]") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const double residual : {1e-3, 5.0}) {
      const Case c = {"features", 8, 4, 3, 1, 2, 2, kind};
      const ModelPoint<double> x = made_stationary(make_instance(c), residual);
      const PointCurvature few = judge(loss_of(x)).curvature;
      REQUIRE(few.from == CountsFrom::spectrum);
      Case wide = c;
      wide.D = 200;  // 3 of 200 directions
      const Vectors<double> B = orthonormal_columns(random_vectors(wide.D, c.D, 7));
      auto data = std::make_shared<Data<double>>(*x.data);
      data->X = x.data->X * B.transpose();
      const auto model = build_single_attention<double>(wide.spec(), wide.trainable);
      Vector<double> weights(model->parameters().weight_count());
      for (Index b = 0; b < 3; ++b) {
        const Matrix<double> W =
            B * Eigen::Map<const Matrix<double>>(x.weights.data() + b * c.D * c.d, c.D, c.d);
        weights.segment(b * wide.D * c.d, wide.D * c.d) = W.reshaped<Eigen::RowMajor>();
      }
      weights.tail(c.d * c.D_out) = x.weights.tail(c.d * c.D_out);
      const StationaryPoint p = judge(loss_of({model, weights, data}));
      CAPTURE(kernel_name(kind), residual, p.curvature.size, p.curvature.removed);
      CHECK(p.curvature.size > kDecompositionLimit);
      CHECK(p.curvature.from == CountsFrom::inertia);
      CHECK(p.curvature.exact);
      CHECK(p.curvature.negative == few.negative);
      CHECK(p.curvature.zero == few.zero);
      CHECK(p.curvature.positive == few.positive);
      CHECK(p.curvature.smallest == Approx(few.smallest).margin(1e-9));
      CHECK(p.kind == (few.negative > 0 ? PointKind::saddle : PointKind::strict_minimum));
    }
}

namespace {

/// Gaussian kernel, X = ((1, 1), (1, 2)), keys 0 and 4, values 1 and 2: with W_Q = (size + q, -size) the
/// first token has the query q, where its output 1/2 below the target is largest, and the second one none
/// that keys are near to.
ModelLoss cancelling(double size) {
  const AttentionSpec spec = {2, 2, 1, 1, 1, KernelKind::gaussian};
  const auto slope = [](double q) {
    return -q * std::exp(-q * q / 2) - 2 * (q - 4) * std::exp(-(q - 4) * (q - 4) / 2);
  };
  double q = 3.5, right = 4.5;
  for (int i = 0; i < 100; ++i) (slope((q + right) / 2) > 0 ? q : right) = (q + right) / 2;
  Vector<double> weights(7);
  weights << size + q, -size, -4, 4, 0, 1, 1;
  Matrix<double> X(2, 2), Y(2, 1);
  X << 1, 1, 1, 2;
  Y << 0.5, 1;
  return loss_of({build_single_attention<double>(spec, Blocks{"W_Q"}), weights,
                  std::make_shared<Data<double>>(Data<double>{1, X, Y})});
}

}  // namespace

TEST_CASE("a gradient that rounding hides gives no verdict") {
  const StationaryPoint p = judge(cancelling(1e2));
  CHECK(p.kind == PointKind::saddle);
  CHECK(p.gradient_known);
  for (const double size : {1e9, 1e11, 1e13}) {
    const StationaryPoint q = judge(cancelling(size));
    CAPTURE(size, q.at.gradient.norm(), q.rounding.gradient, q.gradient_scale);
    CHECK(q.kind == PointKind::not_stationary);
    CHECK_FALSE(q.gradient_known);
  }
}

TEST_CASE("a zero of the residual is a global minimum, whatever its zero modes") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const Case c = {"zero", 1, 2, 6, 2, 3, 2, kind};
    ModelPoint<double> x = make_instance(c);
    auto data = std::make_shared<Data<double>>(*x.data);
    data->Y = x.linearize().outputs();
    x.data = data;
    const StationaryPoint p = judge(loss_of(x));
    CHECK(p.kind == PointKind::zero_loss);
    CHECK(p.curvature.positive <= 4);
    CHECK(p.curvature.zero > 0);
    // H = J^T J: its rank is that of J, whatever the size of the problem
    for (const Index dense_limit : {kDenseLimit, Index{0}}) {
      const PointCurvature at = judge(loss_of(x), dense_limit).curvature;
      CHECK(at.from == CountsFrom::jacobian);
      CHECK(at.negative == 0);
      CHECK(at.positive == (singular_values(x.linearize().jacobian_transposed()).array() > 1e-10).count());
      CHECK(at.uncounted() == 0);
    }
    // and next to it there is none
    data = std::make_shared<Data<double>>(*data);
    data->Y(0, 0) += 1e-9;
    CHECK(judge(loss_of({x.model, x.weights, data})).kind != PointKind::zero_loss);
  }
}

TEST_CASE(
    "a quartic point is degenerate, however near descent gets, and its curvature there does not count") {
  // Five keys -2 .. 2 and even values v with Cov(v, k^2) = 0: in its query q the output is 4/5 + O(q^4).
  const AttentionSpec spec = {5, 5, 1, 1, 1, KernelKind::softmax};
  Vector<double> weights(16);
  weights << 0, 0, 0, 0, 0, -2, -1, 0, 1, 2, 1, 0, 2, 0, 1, 1;
  for (const double target : {-0.2, 1.8}) {
    const ModelLoss loss =
        loss_of({build_single_attention<double>(spec, Blocks{"W_Q"}), weights,
                 std::make_shared<Data<double>>(Data<double>{1, Matrix<double>::Identity(5, 5),
                                                             Matrix<double>::Constant(5, 1, target)})});
    CHECK(judge(loss).kind == PointKind::degenerate);
    CHECK(judge(loss).curvature.zero == 5);
    Vector<double> near(5);
    near << 1, -1, 0.9, 1, -0.9;
    const StationaryPoint p = judge(loss, 4e-6 * near);
    CAPTURE(target, p.curvature.smallest, p.curvature.tolerance, p.at.gradient.norm(), p.rounding.gradient);
    CHECK(std::abs(p.curvature.smallest) > p.curvature.tolerance);  // it looks like a sign
    CHECK(p.kind == PointKind::degenerate);
    CHECK(p.curvature.undecided == 5);
    CHECK(judge(loss, 0.1 * near).kind == PointKind::not_stationary);
  }
}

TEST_CASE(
    "valleys: attention that saturates or vanishes, and only if it has been growing as far as is known") {
  // Two keys, the target beyond the larger value (softmax) or below both (Gaussian).
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const bool softmax = kind == KernelKind::softmax;
    const AttentionSpec spec = {2, 2, 1, 1, 1, kind};
    Vector<double> weights(7);
    weights << 0, 0, 0, 1, 0.5, 1, 1;
    const ModelLoss loss =
        loss_of({build_single_attention<double>(spec, Blocks{"W_Q"}), weights,
                 std::make_shared<Data<double>>(Data<double>{
                     1, Matrix<double>::Identity(2, 2), Matrix<double>::Constant(2, 1, softmax ? 2 : -1)})});
    ModelObjective f = loss.objective();
    const auto at = [&](double q) { return *f.at(Vector<double>::Constant(2, q)); };
    const Extent early =
        extent_of(*loss.theory, loss.point.at(Vector<double>::Constant(2, softmax ? 10 : 5)));
    const double far = softmax ? 30 : 8;
    const StationaryPoint growing = classify(loss, f, at(far), early);
    CHECK(growing.kind == PointKind::valley);
    CHECK(growing.valley == (softmax ? Valley::saturated : Valley::vanished));
    // the same point with no history gets the same word, as its row is at the limit to the digits there are
    CHECK(classify(loss, f, at(far)).kind == PointKind::valley);
    // beyond rounding there is nothing more to see
    CHECK(classify(loss, f, at(softmax ? 60 : 14)).kind == PointKind::valley);
    // Newton's steps do not shrink on the way, which is no minimum anywhere
    for (double q = 1; q < (softmax ? 60 : 14); q += 0.5)
      for (const auto& history : {std::optional<Extent>(), std::optional<Extent>(early)}) {
        const StationaryPoint p = classify(loss, f, at(q), history);
        CAPTURE(kernel_name(kind), q, p.curvature.contraction, p.curvature.zero);
        CHECK(p.kind != PointKind::strict_minimum);
      }
    for (const double q : {20.0, 26.0, 30.0, 37.0, 38.0, 50.0})  // to the end of the range of numbers
      CHECK(classify(loss, f, at(q), early).kind != PointKind::strict_minimum);
    // and on the way it is no valley yet
    CHECK(classify(loss, f, at(softmax ? 3 : 2), early).kind == PointKind::not_stationary);
  }
}

TEST_CASE("zero loss to a rounding that hides the targets is not decided") {
  // values +-1e17 that cancel under uniform attention: outputs are 0 or anything up to 16
  const AttentionSpec spec = {2, 2, 1, 1, 1, KernelKind::softmax};
  for (const double size : {1.0, 1e17}) {
    Vector<double> weights(7);
    weights << 0, 0, 0, 0, size, -size, 1;
    const ModelLoss loss =
        loss_of({build_single_attention<double>(spec, Blocks{"W_V"}), weights,
                 std::make_shared<Data<double>>(Data<double>{1, Matrix<double>::Identity(2, 2),
                                                             Matrix<double>::Constant(2, 1, 1e-30)})});
    const StationaryPoint p = judge(loss);
    CAPTURE(size, p.residual, p.rounding.residual);
    CHECK(p.kind == PointKind::degenerate);  // of size 1 the rounding hides targets of 1e-30, too
    ModelLoss exact = loss;
    auto data = std::make_shared<Data<double>>(*loss.point.data);
    data->Y.setZero();  // then it hides nothing
    exact.point.data = data;
    CHECK(judge(exact).kind == PointKind::zero_loss);
  }
}

TEST_CASE("a large gradient settles the verdict with a handful of gradients and products") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian}) {
    const Case c = {"drawn", 8, 4, 12, 2, 4, 3, kind};
    const ModelPoint<double> x = make_instance(c);
    const ModelLoss loss = loss_of(x);
    ModelObjective f = loss.objective();
    const Iterate start = *f.at(x.theta());
    const Counts before = f.counts();
    const StationaryPoint p = classify(loss, f, start);
    CAPTURE(kernel_name(kind), f.counts().gradients, f.counts().products);
    CHECK(p.kind == PointKind::not_stationary);
    CHECK(f.counts().gradients - before.gradients <= 8);
    CHECK(f.counts().products - before.products == 1);
    CHECK_FALSE(p.curvature.known());
    CHECK(p.curvature.size == x.theta().size());
    CHECK(p.curvature.norm > 0);
    CHECK(p.loss_error == p.rounding.loss);
    CHECK(settled_by_gradient(loss, f, start));
    // nor is it polished
    const Found found = examine(loss, x.theta());
    CHECK(found.polish_steps == 0);
    CHECK_FALSE(found.point.curvature.known());
    CHECK(found.point.at.theta == x.theta());
  }
}

TEST_CASE("next to a stationary point the gradient alone settles nothing") {
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (const double sharpness : {1.0, 30.0, 1000.0})
      for (const double residual : {1e-2, 1.0, 10.0}) {
        Case c = {"near", 8, 4, 3, 2, 2, 2, kind};
        c.score_scale = sharpness;
        const ModelPoint<double> x = made_stationary(make_instance(c), residual);
        const ModelLoss loss = loss_of(x);
        ModelObjective f = loss.objective();
        const double length = f.length(x.theta());
        for (std::uint64_t seed = 0; seed < 3; ++seed)
          for (const double share : {0.0, 1e-8, 1e-5, 1e-4, 3e-4, 1e-3}) {
            const Vector<double> u = random_vectors(x.theta().size(), 1, 10 + seed).col(0).normalized();
            CAPTURE(kernel_name(kind), sharpness, residual, share, seed);
            CHECK_FALSE(settled_by_gradient(loss, f, *f.at(x.theta() + share * length * u)));
          }
      }
}

TEST_CASE("a gradient as large as the Jacobian allows settles nothing where the function hardly changes") {
  // One token, F = e(q - k): at q = k the Jacobian vanishes, next to it g = J^T r as much as it can be.
  const AttentionSpec spec = {1, 1, 1, 1, 1, KernelKind::gaussian, 1};
  for (const double target : {2.0, 0.5}) {
    auto data = std::make_shared<Data<double>>();
    *data = {1, Matrix<double>::Ones(1, 1), Matrix<double>::Constant(1, 1, target)};
    const Vector<double> weights = (Vector<double>(4) << 1, 1, 1, 1).finished();
    const ModelLoss loss = loss_of({build_single_attention<double>(spec, Blocks{"W_Q"}), weights, data});
    for (const double away : {0.0, 1e-3, 1e-2, 0.03}) {
      CAPTURE(target, away);
      const StationaryPoint p = judge(loss, Vector<double>::Constant(1, 1 + away));
      CHECK(p.kind == (target > 1 ? PointKind::strict_minimum : PointKind::saddle));
      CHECK(p.curvature.known());
    }
    const StationaryPoint far = judge(loss, Vector<double>::Constant(1, 2));
    CHECK(far.kind == PointKind::not_stationary);
  }
}

TEST_CASE("under cross-entropy curvature fades with the loss, and signs are judged beside it") {
  // z = (u (2 m - u), 0), u = w x: the margin is largest at w = m, where f = log(1 + e^(-m^2)) and f'' = 2 /
  // (1
  // + e^(m^2)); a second weight meets inputs 0
  for (const double m : {1.0, 4.0, 6.0, 16.0})
    for (const Index width : {1, 2}) {
      const Architecture a = {
          .input = {1, width},
          .layers = {{"linear", {{"outputs", Index{1}}, {"bias", false}}, "u"},
                     {"product", {}, "square", {{"identity"}, {"linear", {{"outputs", Index{1}}}, "v"}}},
                     {"linear", {{"outputs", Index{2}}, {"bias", false}}, "head"}},
          .loss = {"cross-entropy", {}}};
      const auto model = build<double>(a, Blocks{"u.W"});
      Data<double> data = {1, Matrix<double>::Zero(1, width), {}};
      data.X(0, 0) = 1;
      data.labels = {0};
      Vector<double> weights(width + 4);
      weights << Vector<double>::Constant(width, m), -1, 2 * m, 1, 0;
      const ModelLoss loss = loss_of({model, weights, std::make_shared<Data<double>>(data)});
      const StationaryPoint p = judge(loss);
      CAPTURE(m, width, p.at.loss, p.curvature.smallest, p.curvature.tolerance);
      CHECK(p.at.loss == Approx(std::log1p(std::exp(-m * m))).epsilon(1e-12));
      CHECK(p.kind == PointKind::strict_minimum);
      CHECK(p.curvature.positive == 1);
      CHECK(p.curvature.zero == 0);
      CHECK(p.curvature.removed == width - 1);  // the data do not see it
      if (width == 1) CHECK(p.curvature.smallest == Approx(2 / (1 + std::exp(m * m))).epsilon(1e-10));
      CHECK(std::isnan(p.separation.margin));  // the last layer is held fixed
      // next to it, and elsewhere at the same curvature, is no stationary point
      Vector<double> aside = loss.point.theta();
      aside[0] *= 1.25;
      CHECK(judge(loss, aside).kind == PointKind::not_stationary);
    }
}
