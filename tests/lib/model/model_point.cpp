#include "basin/model/model_point.h"

#include <catch2/catch.hpp>

#include <cmath>

#include "support/logistic_loss.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the scale of loss and residual is that of outputs 0, in whatever blocks of rows it is taken") {
  const ModelPoint<double> x = make_instance({"scale", 3, 4, 5, 2, 3, 2});
  CHECK(x.scale_at_zero().residual == x.data->Y.stableNorm());
  CHECK(x.scale_at_zero().loss == Approx(x.data->Y.squaredNorm() / 2).epsilon(1e-15));
  CHECK(x.target_size() == x.data->Y.stableNorm());
  // log 2 a number, r = -Y / 2
  const ModelPoint<double> other = logistic(x);
  CHECK(other.scale_at_zero().loss == Approx(24 * std::log(2.0)).epsilon(1e-15));
  CHECK(other.target_size() == Approx(x.data->Y.norm() / 2).epsilon(1e-15));
  // 700 rows of 3 classes, a third of them ignored
  const Architecture a = {
      .input = {1, 2}, .layers = {{"linear", {{"outputs", Index{3}}}}}, .loss = {"cross-entropy"}};
  Data<double> data = {700, Matrix<double>::Ones(700, 2), Matrix<double>(0, 0)};
  for (Index i = 0; i < 700; ++i) data.labels.push_back(static_cast<std::int32_t>(i % 3) - 1);
  const ModelPoint<double> labelled = {build<double>(a, {"W"}), Vector<double>::Ones(9),
                                       std::make_shared<Data<double>>(std::move(data))};
  const double counting = 466;  // mean over them: each |r|^2 = 2/3 / counting^2
  CHECK(labelled.scale_at_zero().loss == Approx(std::log(3.0)).epsilon(1e-14));
  CHECK(labelled.target_size() == Approx(std::sqrt(2.0 / 3 / counting)).epsilon(1e-14));
}
