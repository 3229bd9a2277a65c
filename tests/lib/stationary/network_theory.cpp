// Networks that are not the single attention layer: what holds of any, held against computations of its own.
#include "basin/stationary/network_theory.h"

#include <catch2/catch.hpp>

#include "basin/linalg/dense.h"
#include "basin/model/evaluator.h"
#include "basin/problem/constructions.h"
#include "basin/stationary/perturbed_descents.h"
#include "basin/stationary/search.h"
#include "support/example_layers.h"
#include "support/logistic_loss.h"
#include "support/loss.h"
#include "support/stationary.h"
#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Two attention layers, Gaussian before softmax, and a linear map: 3 samples of 3 tokens, 4 -> 3 -> 3 -> 2.
ModelPoint<double> three_layers(const std::vector<std::string>& trained, std::uint64_t seed = 4) {
  const auto attention = [](const char* kernel, const char* name) {
    return LayerDescription{
        "attention",
        {{"heads", Index{1}}, {"head-dim", Index{3}}, {"outputs", Index{3}}, {"kernel", kernel}},
        name};
  };
  const Architecture architecture = {
      .input = {3, 4},
      .layers = {attention("gaussian", "first"),
                 attention("softmax", "second"),
                 {"linear", {{"outputs", Index{2}}, {"bias", false}}, "head"}}};
  ModelPoint<double> point = make_instance({"data", 3, 3, 4, 1, 1, 2});
  point.model = build<double>(architecture, trained);
  point.weights = random_vectors(point.parameters().weight_count(), 1, seed);
  for (const auto& e : point.parameters().entries())  // scores and outputs of order one
    point.weights.segment(e.offset, e.block.size()) *=
        e.block.name.ends_with("W_Q") || e.block.name.ends_with("W_K") ? 0.5 : 1;
  return point;
}

/// The gradient by differences of the loss alone, P.
Vector<double> gradient_by_differences(const ModelPoint<double>& x) {
  LossEvaluator<double> loss(x);
  const Vector<double> theta = x.theta();
  Vector<double> g(theta.size());
  for (Index i = 0; i < theta.size(); ++i)
    g[i] = central_difference(
        [&](double t) -> Vector<double> {
          return Vector<double>::Constant(
              1, loss(x.at(theta + t * Vector<double>::Unit(theta.size(), i)).weights));
        },
        1e-3)[0];
  return g;
}

/// Eigenvalues of the Hessian by differences of gradients, ascending.
Vector<double> curvature_by_differences(const ModelPoint<double>& x) {
  const Vector<double> theta = x.theta();
  Vectors<double> H(theta.size(), theta.size());
  for (Index i = 0; i < theta.size(); ++i)
    H.col(i) = central_difference(
        [&](double t) -> Vector<double> {
          return x.at(theta + t * Vector<double>::Unit(theta.size(), i)).linearize().gradient();
        },
        1e-3);
  return symmetric_eigen((H + H.transpose()) / 2, false).values;
}

StationaryPoint verdict_on(const ModelLoss& loss, Index dense_limit = kDenseLimit) {
  ModelObjective f = loss.objective();
  return classify(loss, f, *f.at(loss.point.theta()), std::nullopt, dense_limit);
}

SearchOptions along_the_flow(Index steps = 300) {
  SearchOptions options;
  options.stopping = {.gradient = 1e-6, .steps = steps};
  return along_flow(options);
}

}  // namespace

TEST_CASE("of any network symmetries are found where it is small, not how sharp its attention is") {
  const ModelPoint<double> x = three_layers({"first.W_Q", "first.W_K", "head.W"});
  const auto theory = theory_of(x);
  const Symmetries symmetries = theory->symmetries(x);
  // the first attention is Gaussian, d = 3: rotations
  CHECK(symmetries.modes() == 3);
  CHECK(symmetries.parameters() == x.theta_size());
  REQUIRE(symmetries.table().size() == 1);
  CHECK(symmetries.table().front().first == "query-key gauge");
  CHECK(symmetries.left_out().empty());
  Vectors<double> V = random_vectors(x.theta_size(), 2, 1), P = V, kept = V;
  symmetries.project(V, P);
  symmetries.remove(kept);
  CHECK((kept + P - V).norm() <= 1e-14 * V.norm());
  const Linearization<double> at = x.linearize();
  Vectors<double> JP(at.output_size(), 2), JV = JP;
  at.jvp(P, JP);
  at.jvp(V, JV);
  CHECK(P.norm() > 0.1 * V.norm());
  CHECK(JP.norm() <= 1e-13 * JV.norm());
  CHECK_FALSE(theory->generic_modes(x));
  CHECK_FALSE(theory->is_linear(x));
  CHECK_FALSE(theory->saturation(x).known());
  CHECK(theory->signature(x).heads.empty());
}

TEST_CASE(
    "the length of weights is that of the usual ones, wherever the point is; of zeros by their shapes") {
  const ModelPoint<double> x = three_layers({"first.W_V", "head.W"});
  const auto theory = theory_of(x);
  CHECK(theory->natural_length(x) == Approx(x.theta().norm()));
  CHECK(theory->natural_length(x.at(0 * x.theta())) == theory->natural_length(x));
  const ModelPoint<double> some = x.with_trainable({"head.W"});
  CHECK(theory->natural_length(some) == Approx(some.theta().norm()));
  // W_V is 4 x 3, the head 3 x 2
  const ModelPoint<double> zero = x.at(0 * x.theta());
  CHECK(theory_of(zero)->natural_length(zero) == Approx(std::sqrt(5)));
}

TEST_CASE("points are the same when their outputs agree; masked rows do not count") {
  const ModelPoint<double> x = three_layers({"second.W_V", "second.W_O"});
  const auto theory = theory_of(x);
  const PointSignature f = theory->signature(x);
  CHECK(f.outputs == x.linearize().outputs());
  ModelPoint<double> gauge = x, other = x;  // W_V M, M^-1 W_O with M = 2
  for (const auto& [name, factor] : {std::pair{"second.W_V", 2.0}, {"second.W_O", 0.5}}) {
    const auto& e = x.parameters().find(name);
    gauge.weights.segment(e.offset, e.block.size()) *= factor;
    other.weights.segment(e.offset, e.block.size()) *= factor + 1e-3;
  }
  CHECK(signature_distance(f, theory->signature(gauge)) <= 1e-14);
  CHECK(signature_distance(f, theory->signature(other)) > 1e-4);
  // and survives a file
  const PointSignature back = PointSignature::from_flat(f.flat(), f.outputs.rows(), 3, 0, 2);
  CHECK(signature_distance(f, back) == 0);
  // what is not finite is the same as nothing
  const PointSignature nowhere = theory->signature(x.at_weights(1e200 * x.weights));
  CHECK_FALSE(signature_distance(f, nowhere) <= 1);
  CHECK_FALSE(signature_distance(nowhere, nowhere) <= 1);

  const ModelPoint<double> tokens = example_network({"first.linear.W"}, false);
  ModelPoint<double> moved = tokens;
  auto data = std::make_shared<Data<double>>(*tokens.data);
  Index masked = 0;
  for (std::size_t row = 0; row < data->mask.size(); ++row)
    if (data->mask[row] == 0) data->ids[row] = (data->ids[row] + 1) % 7, ++masked;
  REQUIRE(masked > 0);
  moved.data = data;
  const auto of_tokens = theory_of(tokens);
  for (std::size_t row = 0; row < data->mask.size(); ++row)
    CHECK(of_tokens->signature(tokens).outputs.row(static_cast<Index>(row)).isZero(0) ==
          (data->mask[row] == 0));
}

TEST_CASE("a Gaussian attention is rounded as it is alone, wherever it stands") {
  // The single layer with a query of 0.0027 next to the key 0 and far from the key 4, and the same before a
  // linear map that is the identity.
  const Construction c = construction("gaussian-trap");
  const ModelPoint<double> alone = {
      build_single_attention<double>(c.problem.spec(c.problem.network, 1, 1), {"W_Q"}),
      c.problem.network.weights->values, std::make_shared<Data<double>>(c.problem.data)};
  Architecture a = alone.model->architecture();
  a.layers.push_back({"linear", {{"outputs", Index{1}}, {"bias", false}}, "head"});
  ModelPoint<double> chain = alone;
  chain.model = build<double>(a, {"attention.W_Q"});
  chain.weights.resize(chain.parameters().weight_count());
  chain.weights << alone.weights, 1;
  const Linearization<double> one = alone.linearize(), other = chain.linearize();
  REQUIRE((one.outputs() - other.outputs()).norm() <= 1e-14 * one.outputs().norm());
  const Rounding expected = test::rounding_at(one), found = test::rounding_at(other);
  CHECK(found.gradient > expected.gradient / 4);
  CHECK(found.gradient < expected.gradient * 4);
  // far more than the last digit of the query shows
  const Vector<double> theta = chain.theta();
  const double by_digits = (chain.at(theta * (1 + kEps)).linearize().gradient() - other.gradient()).norm();
  CHECK(found.gradient > 100 * by_digits);
}

TEST_CASE("verdicts on any network count the eigenvalues of its Hessian: against differences of gradients") {
  Index saddles = 0, others = 0;
  for (const std::vector<std::string>& trained :
       {std::vector<std::string>{"second.W_Q"}, {"first.W_Q"}, {"first.W_V"}, {"first.W_V", "first.W_O"}})
    for (const double residual : {0.05, 30.0})
      for (const std::uint64_t seed : {4, 5}) {
        const ModelPoint<double> x = made_stationary(three_layers(trained, seed), residual);
        const ModelLoss loss = loss_of(x);
        const StationaryPoint p = verdict_on(loss);
        const Vector<double> values = curvature_by_differences(x);
        // by differences they are known to 1e-11 of the largest: smaller ones may have either sign
        const double norm = values.cwiseAbs().maxCoeff(), clear = 1e-7 * norm, least = 1e-11 * norm;
        CAPTURE(joined(trained), residual, seed, p.at.gradient.norm(), p.rounding.gradient, values / norm);
        CHECK(p.at.gradient.norm() <= p.rounding.gradient);
        const PointCurvature& k = p.curvature;
        CHECK(k.removed == loss.theory->symmetries(x).modes());
        CHECK(k.negative >= (values.array() < -clear).count());
        CHECK(k.negative <= (values.array() < least).count());
        CHECK(k.positive >= (values.array() > clear).count());
        CHECK(k.positive <= (values.array() > -least).count());
        CHECK(k.removed + k.negative + k.zero + k.positive == values.size());
        CHECK(k.smallest == Approx(values[0]).margin(clear));
        // what may be a symmetry counts as zero: it is not decided by second order
        CHECK(p.kind == (k.negative > 0 ? PointKind::saddle
                         : k.zero > 0   ? PointKind::degenerate
                                        : PointKind::strict_minimum));
        CHECK(p.valley == Valley::none);
        ++(k.negative > 0 ? saddles : others);
        const StationaryPoint q = verdict_on(loss, 0);  // from products
        CHECK(q.curvature.smallest == Approx(values[0]).margin(clear));
      }
  CHECK(saddles >= 1);
  CHECK(others >= 1);
}

TEST_CASE("and under a loss that is not quadratic") {
  ModelPoint<double> x = logistic(three_layers({"second.W_Q", "head.W"}));
  auto data = std::make_shared<Data<double>>(*x.data);
  data->Y = data->Y.array().sign();
  x.data = data;
  const ModelLoss loss = loss_of(x);
  const Found found = search(loss, x.theta(), Target::minima, along_the_flow());
  CAPTURE(found.point.at.gradient.norm(), found.point.rounding.gradient, name_of(found.point.kind));
  CHECK(found.point.at.loss < found.start_loss);
  const ModelPoint<double> end = x.at(found.point.at.theta);
  CHECK((gradient_by_differences(end) - found.point.at.gradient).norm() <= 1e-8);
  if (found.point.curvature.known() && found.point.at.gradient.norm() <= found.point.rounding.gradient) {
    const Vector<double> values = curvature_by_differences(end);
    CHECK(found.point.curvature.smallest == Approx(values[0]).margin(1e-7 * values.cwiseAbs().maxCoeff()));
  }
  CHECK(loss_scale(x) == Approx(static_cast<double>(data->Y.size()) * std::log(2)));
}

TEST_CASE("searches from many starts end in stationary points, and the same function is one entry") {
  ModelPoint<double> x = three_layers({"head.W"});
  const ModelLoss loss = loss_of(x);
  Starts starts;
  starts.drawn = 4;
  starts.draw = [&](std::uint64_t seed) -> Vector<double> {
    return random_vectors(x.theta_size(), 1, seed).col(0);
  };
  StartsFound found = {record_shape(loss), search_from_all(loss, starts, along_the_flow()), {}};
  const Catalogue catalogue = make_catalogue(found);
  // F is linear in the head: one minimum, that of least squares
  const Vectors<double> J = x.linearize().jacobian_transposed().transpose();
  const Vector<double> Y = x.data->Y.reshaped<Eigen::RowMajor>();
  const SingularPairs svd = singular_pairs(J);
  const Vector<double> left = Y - svd.left * (svd.left.transpose() * Y);
  REQUIRE(catalogue.entries.size() == 1);
  CHECK(catalogue.entries[0].members.size() == 4);
  for (const StartRecord& r : found.starts) {
    CHECK(r.kind == PointKind::strict_minimum);
    CHECK(r.loss == Approx(left.squaredNorm() / 2).epsilon(1e-12));
    CHECK(gradient_by_differences(x.at_weights(r.weights)).norm() <= 1e-8);
    CHECK(std::isnan(r.saturation.range));
    CHECK(r.removed == 0);
    const std::vector<double> numbers = flat(r);
    CHECK(numbers.size() == found.shape.size());
    CHECK(from_flat(numbers, found.shape).loss == r.loss);
  }
  check_returns(loss, along_the_flow(), {.starts = 2}, catalogue, found);
  CHECK(found.starts[0].perturbed == 2);
  CHECK(found.starts[0].returned == 2);
}

TEST_CASE("a minimum of attention inside a network is found from around it, and polished to its rounding") {
  const ModelPoint<double> x = made_stationary(three_layers({"second.W_Q"}), 0.01);
  const ModelLoss loss = loss_of(x);
  Starts starts;
  starts.drawn = 3;
  starts.any = true;
  starts.draw = [&](std::uint64_t seed) -> Vector<double> {
    return x.theta() + 1e-3 * random_vectors(x.theta_size(), 1, seed).col(0);
  };
  StartsFound found = {record_shape(loss), search_from_all(loss, starts, along_the_flow()), {}};
  CHECK(make_catalogue(found).entries.size() == 1);
  for (const StartRecord& r : found.starts) {
    CAPTURE(name_of(r.origin), name_of(r.kind), r.loss, r.gradient_norm, r.gradient_rounding);
    CHECK(r.start_loss > r.loss);
    CHECK(r.loss == Approx(0.00005).epsilon(1e-9));
    CHECK(r.kind == PointKind::strict_minimum);
    const ModelPoint<double> end = x.at_weights(r.weights);
    CHECK(gradient_by_differences(end).norm() <= 1e-9);
    CHECK(curvature_by_differences(end)[0] > 0);
  }
}
