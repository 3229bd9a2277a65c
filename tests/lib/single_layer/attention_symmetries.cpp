#include "basin/single_layer/attention_symmetries.h"

#include <catch2/catch.hpp>

#include "basin/curvature/network_symmetries.h"
#include "basin/curvature/operators.h"
#include "basin/linalg/errors.h"
#include "basin/single_layer/symmetry_count.h"
#include "support/stationary.h"
#include "support/symmetry_tangents.h"
#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Shapes that bring out every family, with whether the inputs have a bias feature.
struct Sizes {
  const char* name;
  Index N, n, D, H, d, D_out;
  bool bias;
};
const std::vector<Sizes> kShapes = {
    {"plain", 20, 4, 5, 2, 3, 4, false},
    {"heads wider than the inputs", 20, 4, 3, 2, 5, 6, false},
    {"few outputs", 40, 4, 5, 2, 3, 2, false},
    {"wide heads, few outputs", 60, 4, 3, 2, 5, 2, false},
    {"bias", 20, 4, 5, 2, 3, 4, true},
    {"bias, three heads, few outputs", 40, 4, 5, 3, 3, 2, true},
    {"bias, wide heads", 16, 4, 5, 2, 6, 7, true},
    {"bias, wide heads, few outputs", 30, 4, 5, 2, 6, 3, true},
    {"bias, heads as wide as the inputs", 16, 4, 5, 2, 4, 6, true},
    {"few samples: wide data", 2, 3, 9, 1, 3, 30, false},
    {"wide data, one coordinate", 2, 3, 8, 1, 1, 30, false},
    {"wide data, two coordinates, more tokens", 1, 5, 6, 1, 2, 40, false},
};

Case case_of(const Sizes& s, KernelKind kind, const std::vector<std::string>& trained) {
  Case c = {s.name, s.N, s.n, s.D, s.H, s.d, s.D_out, kind};
  c.trainable = trained;
  return c;
}

ModelPoint<double> instance_of(const Sizes& s, const Case& c) {
  ModelPoint<double> instance = make_instance(c);
  if (s.bias) {
    auto data = std::make_shared<Data<double>>(*instance.data);
    data->X.col(1).setOnes();
    data->X.col(3) = data->X.col(0) - 2 * data->X.col(2);  // and a null feature
    instance.data = data;
  }
  return instance;
}

/// An orthonormal basis of the span, P x modes().
Vectors<double> basis_of(const Symmetries& symmetries) {
  const Index P = symmetries.parameters();
  Vectors<double> projector(P, P);
  symmetries.project(Vectors<double>::Identity(P, P), projector);
  return symmetric_eigen(std::move(projector), true).vectors.rightCols(symmetries.modes());
}

}  // namespace

TEST_CASE("the projector is orthogonal, and its span holds the explicit tangents") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Sizes& s : kShapes)
    for (const auto& trained : all_trainable_sets()) {
      const Case c = case_of(s, kind, trained);
      CAPTURE(describe(c));
      const ModelPoint<double> instance = instance_of(s, c);
      const Symmetries symmetries = attention_symmetries(instance);
      const Index P = symmetries.parameters();
      Vectors<double> projector(P, P);
      symmetries.project(Vectors<double>::Identity(P, P), projector);
      CHECK((projector - projector.transpose()).norm() <= 1e-11);
      CHECK((projector * projector - projector).norm() <= 1e-11);
      CHECK(projector.trace() == Approx(symmetries.modes()).margin(1e-9));
      const Vectors<double> T = symmetry_tangents(instance);
      CHECK((T - projector * T).norm() <= 1e-10 * (1 + T.norm()));
      const bool single =
          symmetries.table().empty() || symmetries.table()[0].first != "scores, sample by sample";
      if (T.cols() > 0 && s.N > 10 && single) CHECK(orthonormal_basis(T).cols() == symmetries.modes());
      if (T.cols() == 0 && s.N > 10) CHECK(symmetries.modes() == 0);
    }
}

TEST_CASE("their number is that of the formula, for all trained sets") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Sizes& s : kShapes)
    for (const auto& trained : all_trainable_sets()) {
      const Case c = case_of(s, kind, trained);
      CAPTURE(describe(c));
      const ModelPoint<double> instance = instance_of(s, c);
      CHECK(attention_symmetries(instance).modes() ==
            symmetry_count(instance, data_features(*instance.data)));
    }
}

TEST_CASE("with a bias feature they are those of the equations of any network, and all there are") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const auto trained = GENERATE(from_range(all_trainable_sets()));
  for (const Index D : {2, 3})
    for (const Index d : {1, 2, 3, 5})
      for (const Index H : {1, 2}) {
        Case c = {"bias", 40, 4, D, H, d, 3, kind};
        c.trainable = trained;
        ModelPoint<double> p = make_instance(c, 3);
        auto data = std::make_shared<Data<double>>(*p.data);
        data->X.col(D - 1).setOnes();
        p.data = data;
        CAPTURE(describe(c));
        const Symmetries found = attention_symmetries(p);
        const std::optional<Symmetries> equations = network_symmetries(p, 3000);
        REQUIRE(equations);
        CHECK(found.modes() == equations->modes());
        CHECK(found.modes() == symmetry_count(p, data_features(*data)));
        const Index P = p.theta_size();
        Vectors<double> T(P, P), inside(P, P), J = p.linearize().jacobian_transposed().transpose();
        found.project(Vectors<double>::Identity(P, P), T);
        equations->project(T, inside);
        CHECK((T - inside).norm() <= 1e-9);
        CHECK((J * T).norm() <= 1e-11 * J.norm());
        const Vector<double> sigma = singular_values(triangular_factor(J));
        CHECK(P - (sigma.array() > 1e-12 * sigma[0]).count() == found.modes());
      }
}

TEST_CASE("the loss is constant along finite actions of the groups, whose tangents are in the span") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Case c = {"finite", 6, 4, 5, 2, 3, 4, kind};
  const ModelPoint<double> instance = make_instance(c);
  const Symmetries symmetries = attention_symmetries(instance);
  const double f = instance.linearize().loss();
  // G = exp(s M) by its series: small matrices, s |M| about 1.
  const auto exponential = [](const Vectors<double>& M) {
    Vectors<double> sum = Vectors<double>::Identity(M.rows(), M.cols()), term = sum;
    for (int k = 1; k < 40; ++k) sum += term = term * M / k;
    return sum;
  };
  const auto act = [&](double s, bool scores) {
    ModelPoint<double> moved = instance;
    const auto w = AttentionView(instance).of_weights(moved.weights);
    for (Index h = 0; h < c.H; ++h) {
      Vectors<double> M = random_vectors(c.d, c.d, 11 + h);
      if (scores && kind == KernelKind::gaussian) M = (M - M.transpose()).eval();
      const Vectors<double> G = exponential(s * M), inverse = exponential(-s * M);
      auto Q = w(kQ, 0, h), K = w(kK, 0, h), V = w(kV, 0, h), O = w(kO, 0, h);
      if (scores) {
        Q = (Q * G).eval();
        K = (K * inverse.transpose()).eval();
      } else {
        V = (V * G).eval();
        O = (inverse * O).eval();
      }
    }
    return moved;
  };
  for (const bool scores : {true, false}) {
    CAPTURE(kernel_name(kind), scores);
    for (const double s : {-0.4, 0.1, 0.7})
      CHECK(std::abs(act(s, scores).linearize().loss() - f) <= 1e-12 * f);
    const Vectors<double> t = central_difference([&](double s) { return act(s, scores).theta(); }, 1e-3);
    Vectors<double> rest = t;
    symmetries.remove(rest);
    CHECK(t.norm() > 0.1);
    CHECK(rest.norm() <= 1e-9 * t.norm());
  }
}

TEST_CASE("the outputs do not change along symmetries to first order") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Sizes& s : kShapes) {
    const Case c = case_of(s, kind, attention_blocks());
    CAPTURE(describe(c));
    const ModelPoint<double> instance = instance_of(s, c);
    const Linearization<double> at = instance.linearize();
    const Symmetries symmetries = attention_symmetries(instance);
    Vectors<double> V = random_vectors(symmetries.parameters(), 3, 7), T = V, JT(at.output_size(), 3),
                    JV = JT;
    symmetries.project(V, T);
    at.jvp(T, JT);
    at.jvp(V, JV);
    CHECK(JT.norm() <= 1e-11 * JV.norm());
  }
}

TEST_CASE("null vectors of the Hessian at stationary points, as many as there are zeros") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  for (const Sizes& s : kShapes)
    for (const auto& trained : all_trainable_sets()) {
      const Case c = case_of(s, kind, trained);
      CAPTURE(describe(c));
      const ModelPoint<double> instance = made_stationary(instance_of(s, c));
      const Linearization<double> at = instance.linearize();
      REQUIRE(at.gradient().norm() <= 1e-12 * (1 + instance.weights.norm()));
      const Symmetries symmetries = attention_symmetries(instance);
      const Vectors<double> H = assemble(HessianOperator(at)), T = basis_of(symmetries);
      const Vector<double> values = symmetric_eigen((H + H.transpose()) / 2, false).values;
      const double norm = values.cwiseAbs().maxCoeff();
      CHECK((H * T).norm() <= 1e-10 * norm);
      Vector<double> magnitudes = values.cwiseAbs();
      std::sort(magnitudes.begin(), magnitudes.end());
      const Index zeros = (magnitudes.array() < 1e-8 * norm).count();
      // On wide data J has full row rank as seen through the values: a stationary point with generic weights
      // has a residual that the scores and values do not see (theory, F1, F5), and the Hessian is J^T J.
      if (s.N < 10)
        CHECK(zeros >= symmetries.modes());
      else
        CHECK(zeros == symmetries.modes());
    }
}

TEST_CASE("points where ranks drop: only what is a symmetry there is taken") {
  // W_K = 0 and W_Q trained alone: scores are zero whatever W_Q is. With W_K trained, too, the product of
  // both is what counts, and moving W_Q alone is no symmetry.
  Case c = {"dead keys", 8, 4, 5, 2, 3, 4};
  for (const bool both : {false, true}) {
    c.trainable = both ? std::vector<std::string>{"W_Q", "W_K"} : std::vector<std::string>{"W_Q"};
    ModelPoint<double> instance = make_instance(c);
    const auto& keys = AttentionView(instance).entry(kK);
    instance.weights.segment(keys.offset, keys.block.size()).setZero();
    CHECK(attention_symmetries(instance).modes() == (both ? c.H * c.d * c.d : keys.block.size()));
  }
}

TEST_CASE("softmax with one token or equal tokens does not depend on queries and keys") {
  Case c = {"one token", 8, 1, 4, 2, 3, 2};
  c.trainable = {"W_Q", "W_K"};
  CHECK(attention_symmetries(make_instance(c)).modes() == 2 * c.H * c.D * c.d);
  c = {"equal tokens", 8, 3, 4, 2, 3, 2};
  c.duplicate_tokens = true;
  c.trainable = {"W_Q", "W_K"};
  CHECK(attention_symmetries(make_instance(c)).modes() == 2 * c.H * c.D * c.d);
}

TEST_CASE("wrong shapes, and other networks, are refused") {
  const Case c = {"shapes", 3, 3, 4, 2, 2, 2};
  const Symmetries symmetries = attention_symmetries(make_instance(c));
  Vectors<double> V = Vectors<double>::Zero(3, 1);
  CHECK_THROWS_AS(symmetries.remove(V), InputError);
  const ModelPoint<double> other = two_layers();
  CHECK_THROWS_WITH(attention_symmetries(other), Catch::Contains("known for a single attention layer"));
  CHECK_THROWS_AS(symmetry_count(other, data_features(*other.data)), InputError);
}
