#include "basin/model/linearization.h"

#include <omp.h>

#include <catch2/catch.hpp>

#include "basin/linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

struct Products {
  Vectors<double> JV, JtU, GV, HV;
};

template <class S>
Products all_products(const Linearization<S>& at, Index k, std::uint64_t seed = 5) {
  const Vectors<S> V = random_vectors(at.theta_size(), k, seed).template cast<S>();
  const Vectors<S> U = random_vectors(at.output_size(), k, seed + 1).template cast<S>();
  Vectors<S> JV(at.output_size(), k), JtU(at.theta_size(), k), GV(at.theta_size(), k), HV(at.theta_size(), k);
  at.jvp(V, JV);
  at.vjp(U, JtU);
  at.gauss_newton(V, GV);
  at.hessian(V, HV);
  return {JV.template cast<double>(), JtU.template cast<double>(), GV.template cast<double>(),
          HV.template cast<double>()};
}

Vectors<double> dense_hessian(const Linearization<double>& at) {
  const Index P = at.theta_size();
  Vectors<double> H(P, P);
  at.hessian(Vectors<double>::Identity(P, P), H);
  return H;
}

}  // namespace

TEST_CASE("products agree with their adjoints, differences and dense matrices in every case") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Case& c : hard_cases(kind)) {
    CAPTURE(describe(c));
    const ModelPoint<double> instance = make_instance(c);
    const Linearization<double> at = instance.linearize({.chunk_rows = 2 * c.n});
    const Index P = at.theta_size(), m = at.output_size(), k = 3;
    const Vectors<double> V = random_vectors(P, k, 2), U = random_vectors(m, k, 3);
    Vectors<double> JV(m, k), JtU(P, k), GV(P, k), HV(P, k), JtJV(P, k);
    at.jvp(V, JV);
    at.vjp(U, JtU);
    at.gauss_newton(V, GV);
    at.hessian(V, HV);
    at.vjp(JV, JtJV);
    const double scale = at.gradient().norm() + at.outputs().norm() + JtU.norm() + HV.norm();
    REQUIRE(std::isfinite(scale));

    // f = |F - Y|^2 / 2, grad f = J^T r
    const Vector<double> r = Eigen::Map<const Vector<double>>(at.outputs().data(), m) -
                             Eigen::Map<const Vector<double>>(instance.data->Y.data(), m);
    CHECK(at.loss() == Approx(r.squaredNorm() / 2).epsilon(1e-14));
    Vectors<double> Jtr(P, 1);
    at.vjp(r, Jtr);
    CHECK((Jtr.col(0) - at.gradient()).norm() <= 1e-13 * (1 + at.gradient().norm()));

    // <U, J V> = <J^T U, V>; <W, H V> = <H W, V>; J^T J V two ways
    const Matrix<double> W_H_V = V.transpose() * HV, UJV = U.transpose() * JV, JtUV = JtU.transpose() * V;
    CHECK((UJV - JtUV).cwiseAbs().maxCoeff() <= 1e-12 * (U.norm() * JV.norm() + JtU.norm() * V.norm()));
    CHECK((W_H_V - W_H_V.transpose()).cwiseAbs().maxCoeff() <= 1e-12 * V.norm() * HV.norm());
    CHECK((GV - JtJV).norm() <= 1e-13 * (GV.norm() + JtJV.norm()));

    // Differences. A step of 1e-3 in units of the scale on which scores change; truncation h^4 and rounding
    // eps / h are each below 1e-11 of the values involved, 1e-7 leaves a factor 1e4 for large derivatives.
    const double smallest_sigma = c.bandwidth > 0 ? std::min(1.0, c.bandwidth) : 1.0;
    const double h = 1e-3 * std::min(smallest_sigma, 1 / c.score_scale);
    const Vector<double> theta = instance.theta(), v = V.col(0);
    const auto outputs = [&](double t) {
      const Linearization<double> moved = instance.at(theta + t * v).linearize();
      return Vector<double>(Eigen::Map<const Vector<double>>(moved.outputs().data(), m));
    };
    const auto gradient = [&](double t) { return instance.at(theta + t * v).linearize().gradient(); };
    const double rounding = 1e-14 / h;
    CHECK((central_difference(outputs, h) - JV.col(0)).norm() <=
          1e-7 * JV.col(0).norm() + rounding * at.outputs().norm());
    CHECK((central_difference(gradient, h) - HV.col(0)).norm() <=
          1e-7 * HV.col(0).norm() + rounding * (at.gradient().norm() + U.norm()));

    // dense matrices
    const Vectors<double> H = dense_hessian(at), Jt = at.jacobian_transposed();
    CHECK((H - H.transpose()).norm() <= 1e-12 * H.norm());
    CHECK((H * V - HV).norm() <= 1e-12 * (H.norm() * V.norm()));
    CHECK((Jt.transpose() * V - JV).norm() <= 1e-12 * (Jt.norm() * V.norm()));
    CHECK((Jt * U - JtU).norm() <= 1e-12 * (Jt.norm() * U.norm()));
  }
}

TEST_CASE("a trainable subset gives the corresponding part of every product") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"subsets", 3, 4, 5, 2, 3, 2, kind};
  const ModelPoint<double> full_instance = make_instance(c);
  const Linearization<double> full = full_instance.linearize();
  const Vectors<double> H = dense_hessian(full), Jt = full.jacobian_transposed();
  for (const auto& trainable : all_trainable_sets()) {
    c.trainable = trainable;
    CAPTURE(describe(c));
    const Linearization<double> part = make_instance(c).linearize();
    std::vector<Index> index;  // of part's theta in full's
    for (const auto& e : part.parameters().entries())
      for (Index i = 0; e.trainable() && i < e.block.size(); ++i) index.push_back(e.offset + i);
    REQUIRE(static_cast<Index>(index.size()) == part.theta_size());
    const Vectors<double> expected_H = H(index, index), expected_Jt = Jt(index, Eigen::all);
    CHECK((dense_hessian(part) - expected_H).norm() <= 1e-13 * H.norm());
    CHECK((part.jacobian_transposed() - expected_Jt).norm() <= 1e-13 * Jt.norm());
  }
}

TEST_CASE("the same bits for any number of threads, vectors at once, and memory") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"bits", 23, GENERATE(5, 17, 33), 7, 2, 3, 2, kind};  // 17, 33: rows end within a packet
  const ModelPoint<double> instance = make_instance(c);
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const Linearization<double> reference = instance.linearize({.chunk_rows = 3 * c.n});
  const Products expected = all_products(reference, 5);
  const Vectors<double> Jt = reference.jacobian_transposed();
  const auto check = [&](const Linearization<double>& at) {
    CHECK(at.loss() == reference.loss());
    CHECK(at.gradient() == reference.gradient());
    CHECK(at.outputs() == reference.outputs());
    const Products found = all_products(at, 5);
    CHECK(found.JV == expected.JV);
    CHECK(found.JtU == expected.JtU);
    CHECK(found.GV == expected.GV);
    CHECK(found.HV == expected.HV);
    CHECK(at.jacobian_transposed() == Jt);
  };
  for (const int threads : {1, 2, 7}) {
    omp_set_num_threads(threads);
    CAPTURE(threads);
    check(instance.linearize({.chunk_rows = 3 * c.n}));
    check(instance.linearize({.memory = 0, .chunk_rows = 3 * c.n}));
    check(instance.linearize({.memory = 20000, .chunk_rows = 3 * c.n}));
  }
  const Vectors<double> V = random_vectors(reference.theta_size(), 5, 5);  // as in all_products
  for (Index j = 0; j < 5; ++j) {
    Vectors<double> HV(reference.theta_size(), 1);
    reference.hessian(V.col(j), HV);
    CHECK(HV.col(0) == expected.HV.col(j));
  }
  omp_set_num_threads(threads_before);
}

TEST_CASE(
    "beyond the cache: memory goes to vectors, where chunks are evaluated again before these are kept; the "
    "same bits",
    "[many]") {
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const ModelPoint<double> instance = make_instance({"large chunks", 32768, 4, 4, 2, 32, 2});
  const auto with = [&](double memory) {
    return instance.linearize({.memory = static_cast<std::size_t>(memory), .chunk_rows = 16384});
  };
  const Linearization<double> nothing = with(0), some = with(1.6e8), everything = with(2e9);
  CHECK(nothing.vectors_at_once() == 1);
  CHECK(some.vectors_at_once() > 1);
  CHECK(everything.vectors_at_once() > some.vectors_at_once());
  const Products expected = all_products(nothing, 5);
  CHECK(expected.HV.norm() > 0);
  for (const auto* at : {&some, &everything}) {
    const Products found = all_products(*at, 5);
    CHECK(found.JV == expected.JV);
    CHECK(found.JtU == expected.JtU);
    CHECK(found.GV == expected.GV);
    CHECK(found.HV == expected.HV);
  }
  omp_set_num_threads(threads_before);
}

TEST_CASE("the core works in single precision") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"float", 3, 4, 5, 2, 3, 2, kind};
  const ModelPoint<double> instance = make_instance(c);
  const ModelPoint<float> single = instance.cast<float>();
  const Products expected = all_products(instance.linearize(), 2),
                 found = all_products(single.linearize(), 2);
  // float has eps = 6e-8; sums of some hundred terms
  CHECK((found.JV - expected.JV).norm() <= 1e-5 * expected.JV.norm());
  CHECK((found.JtU - expected.JtU).norm() <= 1e-5 * expected.JtU.norm());
  CHECK((found.GV - expected.GV).norm() <= 1e-5 * expected.GV.norm());
  CHECK((found.HV - expected.HV).norm() <= 1e-5 * expected.HV.norm());
}

TEST_CASE("a linearization refuses what does not fit") {
  const Case c = {"refusals", 2, 3, 4, 2, 2, 2};
  ModelPoint<double> instance = make_instance(c);
  SECTION("a wrong number of weights") {
    instance.weights.conservativeResize(5);
    CHECK_THROWS_WITH(instance.linearize(), "number of weights: expected 56, found 5");
  }
  SECTION("data of another shape") {
    auto data = std::make_shared<Data<double>>(*instance.data);
    data->X.conservativeResize(6, 3);
    instance.data = data;
    CHECK_THROWS_WITH(instance.linearize(), "columns of X: expected 4, found 3");
  }
  SECTION("outputs that overflow") {
    instance.weights.tail(16).setConstant(1e300);
    CHECK_THROWS_AS(instance.linearize(), WorkError);
  }
  SECTION("vectors of a wrong length") {
    const Linearization<double> at = instance.linearize();
    Vectors<double> V(3, 1), out(at.theta_size(), 1);
    CHECK_THROWS_WITH(at.hessian(V, out), "hessian: length of the vectors: expected 56, found 3");
    CHECK_THROWS_AS(at.jvp(V, out), InputError);
    CHECK_THROWS_AS(at.vjp(V, out), InputError);
    CHECK_THROWS_AS(at.gauss_newton(V, out), InputError);
  }
  SECTION("blocks that are not there") {
    CHECK_THROWS_WITH(build_single_attention<double>(c.spec(), {"W_X"}),
                      "unknown parameter block 'W_X'; the model has W_Q, W_K, W_V, W_O");
    CHECK_THROWS_AS(build_single_attention<double>(c.spec(), {}), InputError);
    CHECK_THROWS_AS(build_single_attention<double>(c.spec(), {"W_Q", "W_Q"}), InputError);
  }
}
