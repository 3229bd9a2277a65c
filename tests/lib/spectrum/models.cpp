/// Spectra of models: what products alone give against the dense matrix.
#include <catch2/catch.hpp>

#include "basin/curvature/operators.h"
#include "basin/linalg/combinators.h"
#include "basin/single_layer/attention_symmetries.h"
#include "basin/spectrum/counts.h"
#include "basin/spectrum/density.h"
#include "support/restricted_curvature.h"
#include "support/stationary.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Some steps of gradient descent, each so short that the loss falls.
ModelPoint<double> trained(ModelPoint<double> instance, int steps) {
  double step = 0.1;
  for (int i = 0; i < steps; ++i) {
    const Linearization<double> at = instance.linearize();
    for (; step > 1e-12; step /= 2) {
      const ModelPoint<double> next = instance.at(instance.theta() - step * at.gradient());
      if (next.linearize().loss() < at.loss()) {
        instance = next;
        step *= 1.5;
        break;
      }
    }
  }
  return instance;
}

/// The restriction of the dense matrix to the complement of the symmetry directions: its eigenvalues.
Vector<double> restricted_eigenvalues(const Vectors<double>& H, const Symmetries& symmetries) {
  const Index P = H.rows(), q = symmetries.modes();
  Vectors<double> projector(P, P);
  symmetries.project(Vectors<double>::Identity(P, P), projector);
  const Vectors<double> rest = symmetric_eigen(projector, true).vectors.leftCols(P - q);
  return symmetric_eigen(rest.transpose() * H * rest, false).values;
}

/// Whether the 95 % band of a mass holds the dense one.
bool check_point(const Case& c, const ModelPoint<double>& instance, bool stationary) {
  const Linearization<double> at = instance.linearize();
  const HessianOperator H(at);
  const Vectors<double> matrix = assemble(H);
  const Vectors<double> symmetric = (matrix + matrix.transpose()) / 2;
  const Symmetries symmetries = attention_symmetries(instance);
  const Index P = H.rows(), q = symmetries.modes();
  const Removal remove = [&](VectorsRef<double> V) { symmetries.remove(V); };
  if (q == P) return true;
  const Vector<double> expected = restricted_eigenvalues(symmetric, symmetries);
  const Vector<double> whole = symmetric_eigen(symmetric, false).values;
  const double norm = std::max(std::abs(whole[0]), std::abs(whole[P - 1]));
  CAPTURE(describe(c), stationary, P, q);

  // Exact counts: the sign of every eigenvalue that stands clear of rounding.
  const double tolerance = 1e-8 * norm;
  const auto count = [&](const Vector<double>& values, double sign) {
    return ((sign * values).array() > tolerance).count();
  };
  const EigenvalueCounts dense = dense_counts(assembled_matrix(H), remove, q, tolerance);
  CHECK(dense.negative == count(expected, -1));
  CHECK(dense.positive == count(expected, 1));
  CHECK(dense.negative + dense.zero + dense.positive == P - q);
  const EigenvalueCounts all = dense_counts(
      assembled_matrix(H), [](VectorsRef<double>) {}, 0, tolerance);
  CHECK(all.negative == count(whole, -1));
  if (stationary) {  // symmetry directions are null vectors: the other counts do not change
    CHECK(all.zero == dense.zero + q);
    CHECK(all.negative == dense.negative);
    CHECK(dense.zero == 0);
  } else {
    // Cauchy interlacing: the restriction has no more of either sign.
    CHECK(dense.negative <= all.negative);
    CHECK(dense.positive <= all.positive);
  }

  // The same without a matrix.
  RestrictedOptions options;
  options.dense_limit = options.eigen.dense_limit = 0;
  options.pairs = std::min<Index>(dense.negative + dense.zero + 2, P - q);
  options.tolerance = tolerance;
  const RestrictedCurvature found = restricted_curvature(H, remove, q, options);
  CHECK(std::abs(found.smallest.value - expected[0]) <= found.smallest.error_bound + 1e-13 * norm);
  CHECK(found.counts.negative == dense.negative);
  CHECK(found.counts.zero == dense.zero);
  CHECK(found.counts.exact());
  const EigenResult largest = extreme_eigenpairs(H, End::largest, std::min<Index>(3, P), {.dense_limit = 0});
  for (Index i = 0; i < static_cast<Index>(largest.eigenvalues.size()); ++i)
    CHECK(std::abs(largest.eigenvalues[i].value - whole[P - 1 - i]) <=
          largest.eigenvalues[i].error_bound + 1e-13 * norm);

  const LanczosQuadrature quadrature = lanczos_quadrature(H, remove, q, {.probes = 4, .steps = 20});
  const Mass mass = mass_below(quadrature, -0.01 * norm);
  const double share =
      static_cast<double>((expected.array() < -0.01 * norm).count()) / static_cast<double>(P - q);
  return mass.lower <= share && share <= mass.upper;
}

}  // namespace

TEST_CASE("products alone give what the dense matrix gives: random, trained and stationary points",
          "[many]") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Index inside = 0, points = 0;
  for (const auto& blocks : all_trainable_sets()) {
    Case c = {"spectra", 12, 4, 6, 2, 4, 5, kind};
    c.trainable = blocks;
    const ModelPoint<double> instance = make_instance(c);
    inside += check_point(c, instance, false) ? 1 : 0;
    inside += check_point(c, trained(instance, 30), false) ? 1 : 0;
    inside += check_point(c, made_stationary(instance), true) ? 1 : 0;
    points += 3;
  }
  CHECK(inside >= 0.95 * static_cast<double>(points));
}

TEST_CASE("eigenvalues of W_O alone come D_out times each, and all of them are found") {
  Case c = {"copies", 4, 4, 12, 3, 6, 5};
  c.trainable = {"W_O"};
  const ModelPoint<double> instance = make_instance(c);
  const Linearization<double> at = instance.linearize();
  const HessianOperator H(at);
  const Vectors<double> matrix = assemble(H);
  const Vector<double> expected = symmetric_eigen((matrix + matrix.transpose()) / 2, false).values;
  const Index P = H.rows();
  REQUIRE(P == 90);
  const EigenResult largest = extreme_eigenpairs(H, End::largest, 12, {.dense_limit = 0});
  CHECK_FALSE(largest.dense);
  REQUIRE(largest.all_converged());
  for (Index i = 0; i < 12; ++i)
    CHECK(std::abs(largest.eigenvalues[i].value - expected[P - 1 - i]) <=
          largest.joint_bound + 1e-12 * expected[P - 1]);
  CHECK(largest.eigenvalues[4].value == Approx(largest.eigenvalues[0].value).epsilon(1e-9));
  CHECK(largest.eigenvalues[5].value < 0.999 * largest.eigenvalues[4].value);
}

TEST_CASE("exact stationary points: F2 and F4 of the theory") {
  // F2, softmax, W_Q alone: a strict local minimum with Hessian I/4.
  Case c = {"F2", 1, 4, 4, 1, 1, 1};
  c.trainable = {"W_Q"};
  ModelPoint<double> f2 = make_instance(c);
  f2.weights << 0, 0, 0, 0, 0, 1, 2, 3, -1, 6, -3, 2, 1;
  auto data = std::make_shared<Data<double>>(*f2.data);
  data->X.setIdentity();
  data->Y.setConstant(1.5);
  f2.data = data;
  const auto curvature = [](const ModelPoint<double>& point) {
    const Linearization<double> at = point.linearize();
    const HessianOperator H(at);
    const Symmetries symmetries = attention_symmetries(point);
    return restricted_curvature(
        H, [&](VectorsRef<double> V) { symmetries.remove(V); }, symmetries.modes());
  };
  const RestrictedCurvature minimum = curvature(f2);
  CHECK(minimum.counts.removed == 0);
  CHECK(minimum.counts.positive == 4);
  CHECK(minimum.smallest.value == Approx(0.25).epsilon(1e-13));
  // With W_K trained as well: a strict saddle, lambda_min = -1.575.
  const RestrictedCurvature negative = curvature(f2.with_trainable({"W_Q", "W_K"}));
  CHECK(negative.counts.negative > 0);
  CHECK(negative.smallest.value == Approx(-1.575).epsilon(1e-3));

  // F4: W_K = 0, an exact stationary point that is a strict saddle, lambda_min = -0.09449.
  Case f = {"F4", 1, 3, 3, 1, 1, 1};
  f.trainable = {"W_Q", "W_K"};
  ModelPoint<double> f4 = make_instance(f);
  f4.weights << 1, -1, 0, 0, 0, 0, 2, 1, 0, 1;
  data = std::make_shared<Data<double>>(*f4.data);
  data->X.setIdentity();
  data->Y.setConstant(1.25);
  f4.data = data;
  CHECK(f4.linearize().loss() == Approx(0.09375).epsilon(1e-13));
  CHECK(f4.linearize().gradient().norm() <= 1e-15);
  const RestrictedCurvature f4_curvature = curvature(f4);
  CHECK(f4_curvature.smallest.value == Approx(-0.09449).epsilon(1e-3));
  CHECK(f4_curvature.counts.negative >= 1);
}
