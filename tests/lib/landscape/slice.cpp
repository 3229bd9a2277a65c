#include "landscape/slice.h"

#include <omp.h>

#include <catch2/catch.hpp>

#include "linalg/errors.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a slice holds the losses of the plane, row = y, column = x, for any number of threads") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  Case c = {"slice", 70, 4, 5, 2, 3, 2, kind};  // more than one chunk
  c.trainable = {"W_Q", "W_V"};
  const Instance<double> instance = make_instance(c);
  const Index P = instance.model->parameters().theta_size();
  const Vector<double> u = random_vectors(P, 1, 1), v = random_vectors(P, 1, 2);
  const Vector<double> xs{{-1, 0, 0.5, 2}}, ys{{0, 1, -0.3}};
  const Matrix<double> losses =
      loss_on_plane<double>(instance.model, instance.weights, instance.data, u, v, xs, ys);
  REQUIRE(losses.rows() == 3);
  REQUIRE(losses.cols() == 4);
  for (Index row = 0; row < 3; ++row)
    for (Index column = 0; column < 4; ++column) {
      const Vector<double> theta = instance.theta() + xs[column] * u + ys[row] * v;
      CHECK(losses(row, column) == instance.at(theta).linearize().loss());  // the same bits
    }
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 7}) {
    omp_set_num_threads(threads);
    CHECK(loss_on_plane<double>(instance.model, instance.weights, instance.data, u, v, xs, ys) == losses);
  }
  omp_set_num_threads(before);
  CHECK_THROWS_AS(
      loss_on_plane<double>(instance.model, instance.weights, instance.data, u.head(3), v, xs, ys),
      InputError);
}
