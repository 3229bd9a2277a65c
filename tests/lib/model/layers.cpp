// What a layer may do that attention and linear maps do not: read token ids and masks, change the number of
// tokens, hold other layers, share a block with another one. Networks are reached from their description.
#include "basin/network/layer.h"

#include <omp.h>

#include "basin/linalg/errors.h"
#include "basin/model/evaluator.h"
#include "support/attention_specs.h"
#include "support/check_layer.h"
#include "support/example_layers.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::vector<std::string> kAll = {"embedding.E",
                                       "first.attention.W_Q",
                                       "first.attention.W_K",
                                       "first.attention.W_V",
                                       "first.attention.W_O",
                                       "first.linear.W",
                                       "second.inner.attention.W_Q",
                                       "second.inner.attention.W_K",
                                       "second.inner.attention.W_V",
                                       "second.inner.attention.W_O"};

}  // namespace

TEST_CASE("a layer that is entered by name obeys the four rules") {
  add_example_layers();
  const LayerDescription reversed = {"test-reversed", {{"factor", 0.5}}};
  check_layer(*make_layer<double>(reversed, {3, 6}), 2, true, {});
  check_layer(
      *make_layer<double>({"residual", {}, "r", {reversed, {"linear", {{"outputs", Index{6}}}}}}, {3, 6}), 2,
      true, {});
}

TEST_CASE("a network of ids, residuals, a masked pool and a tied head: derivatives, whatever is trained") {
  for (const bool pooled : {true, false})
    for (const std::vector<std::string>& trained :
         {kAll, {"embedding.E"}, {"first.linear.W", "second.inner.attention.W_K"}}) {
      const ModelPoint<double> x = example_network(trained, pooled);
      CAPTURE(joined(trained), pooled);
      const Linearization<double> at = x.linearize();
      const Index P = at.theta_size(), m = at.output_size();
      const Vector<double> theta = x.theta(), v = random_vectors(P, 1, 2).col(0),
                           u = random_vectors(m, 1, 4).col(0);
      Vectors<double> Hv(P, 1), Jv(m, 1), JtU(P, 1);
      at.hessian(v, Hv);
      at.jvp(v, Jv);
      at.vjp(u, JtU);
      const auto gradient = [&](double t) -> Vector<double> {
        return x.at(theta + t * v).linearize().gradient();
      };
      const auto outputs = [&](double t) -> Vector<double> {
        return x.at(theta + t * v).linearize().outputs().reshaped<Eigen::RowMajor>();
      };
      const auto loss = [&](double t) -> Vector<double> {
        return Vector<double>::Constant(1, LossEvaluator<double>(x)(x.at(theta + t * v).weights));
      };
      // the truncation of the difference is 1e-12, rounding 1e-16 / 1e-3
      CHECK((central_difference(gradient, 1e-3) - Hv.col(0)).norm() <= 1e-8 * Hv.norm());
      CHECK((central_difference(outputs, 1e-3) - Jv.col(0)).norm() <= 1e-9 * Jv.norm());
      CHECK(central_difference(loss, 1e-3)[0] == Approx(at.gradient().dot(v)).epsilon(1e-8));
      CHECK(u.dot(Jv.col(0)) == Approx(JtU.col(0).dot(v)).epsilon(1e-11));
      CHECK(at.loss() == LossEvaluator<double>(x)(x.weights));
    }
}

TEST_CASE("a tied block is one array: it stands once in theta, and its adjoints are added") {
  const ModelPoint<double> tied = example_network({"embedding.E"});
  CHECK(tied.parameters().entries().size() == kAll.size());
  // the same network with a head of its own
  Architecture a = tied.model->architecture();
  a.layers.back().options["weight.tied"] = std::string();
  ModelPoint<double> apart = tied;
  apart.model = build<double>(a, {"embedding.E", "head.W"});
  const auto& E = tied.parameters().find("embedding.E");
  apart.weights.resize(apart.parameters().weight_count());
  const auto transposed = [](const Vector<double>& W, Index rows, Index cols) -> Vector<double> {
    return Matrix<double>(Eigen::Map<const Matrix<double>>(W.data(), rows, cols).transpose())
        .reshaped<Eigen::RowMajor>();
  };
  const Index rows = E.block.rows(), cols = E.block.cols();  // E: ids x width; the head's own: width x ids
  apart.weights << tied.weights, transposed(tied.weights.segment(E.offset, E.block.size()), rows, cols);
  const Vector<double> whole = tied.linearize().gradient(), parts = apart.linearize().gradient();
  const Vector<double> sum = parts.head(whole.size()) + transposed(parts.tail(whole.size()), cols, rows);
  CHECK((whole - sum).norm() <= 1e-13 * whole.norm());
  CHECK(tied.linearize().loss() == Approx(apart.linearize().loss()).epsilon(1e-14));

  a.layers.back().options["weight.tied"] = std::string("embedding.F");
  CHECK_THROWS_AS(build<double>(a, {"embedding.E"}), InputError);
  a.layers.back().options["weight.tied"] = std::string("first.linear.W");
  CHECK_THROWS_WITH(build<double>(a, {"embedding.E"}),
                    "head.W is tied to first.linear.W, which has another shape");
}

TEST_CASE("masked rows count in no loss, in no pool, and for no derivative") {
  const ModelPoint<double> x = example_network(kAll, false);
  const Linearization<double> at = x.linearize();
  auto data = std::make_shared<Data<double>>(*x.data);
  Index masked = 0;
  for (Index row = 0; row < data->Y.rows(); ++row)
    if (!data->mask[row]) data->Y.row(row).setConstant(1e3), ++masked;
  REQUIRE(masked > 0);
  const Linearization<double> other = ModelPoint<double>{x.model, x.weights, data}.linearize();
  CHECK(other.loss() == at.loss());
  CHECK(other.gradient() == at.gradient());
  CHECK(other.residual() == at.residual());
  double sum = 0;
  for (Index row = 0; row < data->Y.rows(); ++row)
    if (data->mask[row]) sum += (at.outputs().row(row) - x.data->Y.row(row)).squaredNorm() / 2;
  CHECK(at.loss() == Approx(sum).epsilon(1e-14));
}

TEST_CASE("the same bits for any number of threads, chunks kept or not, with ids and masks") {
  const int threads_before = omp_get_max_threads();
  const ModelPoint<double> x = example_network(kAll, true, 40);
  const Vectors<double> V = random_vectors(x.theta_size(), 5, 2);
  Vectors<double> expected;
  for (const int threads : {1, 2, 5})
    for (const std::size_t memory : {std::size_t{0}, std::size_t{1} << 30U}) {
      omp_set_num_threads(threads);
      const Linearization<double> at = x.linearize({.memory = memory, .chunk_rows = 16});
      Vectors<double> HV(V.rows(), V.cols());
      at.hessian(V, HV);
      if (expected.size() == 0) expected = HV;
      CHECK(HV == expected);
    }
  omp_set_num_threads(threads_before);
}

TEST_CASE("attention with all its options: the same bits for any number of threads, and true derivatives") {
  const int threads_before = omp_get_max_threads();
  const ModelPoint<double> x =
      attention_network(23, 9,
                        {"softmax.W_Q", "softmax.b_Q", "softmax.W_K", "softmax.W_V", "softmax.b_V",
                         "softmax.b_O", "gaussian.W_K", "gaussian.b_K", "gaussian.W_O"});
  const Vectors<double> V = random_vectors(x.theta_size(), 5, 2);
  Vectors<double> expected;
  for (const int threads : {1, 2, 7})
    for (const std::size_t memory : {std::size_t{0}, std::size_t{1} << 30U}) {
      omp_set_num_threads(threads);
      const Linearization<double> at = x.linearize({.memory = memory, .chunk_rows = 18});
      Vectors<double> HV(V.rows(), V.cols());
      at.hessian(V, HV);
      if (expected.size() == 0) expected = HV;
      CHECK(HV == expected);
    }
  omp_set_num_threads(threads_before);
  const auto gradient = [&](double t) {
    return x.at(x.theta() + t * V.col(0)).linearize({.chunk_rows = 18}).gradient();
  };
  const Vector<double> difference = central_difference(gradient, 1e-4);
  CHECK((expected.col(0) - difference).norm() <= 1e-7 * difference.norm());
}

TEST_CASE("ids that the network has no row for are refused") {
  const ModelPoint<double> x = example_network(kAll);
  for (const std::int32_t id : {-1, 7}) {
    auto data = std::make_shared<Data<double>>(*x.data);
    data->ids[3] = id;
    CHECK_THROWS_WITH((ModelPoint<double>{x.model, x.weights, data}.linearize()),
                      "token id " + std::to_string(id) + ": the network takes 0 to 6");
  }
}

TEST_CASE("ids and masks of another length are refused") {
  const ModelPoint<double> x = example_network(kAll);
  auto data = std::make_shared<Data<double>>(*x.data);
  data->mask.pop_back();
  CHECK_THROWS_WITH((ModelPoint<double>{x.model, x.weights, data}.linearize()),
                    "length of the mask: expected 20, found 19");
}
