#include "basin/single_layer/attention_view.h"

#include <catch2/catch.hpp>

#include "support/two_layers.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("a view knows where the heads of each block stand, in weights and in vectors over theta") {
  const Case c = {"described", 3, 4, 5, 2, 3, 2, KernelKind::gaussian, 1.5};
  const ModelPoint<double> x = make_instance(c), some = x.with_trainable({"W_V"});
  const AttentionView view(x);
  for (Index h = 0; h < c.H; ++h)
    CHECK(view.W_O(h) == Eigen::Map<const Matrix<double>>(
                             x.weights.data() + 3 * c.H * c.D * c.d + h * c.d * c.D_out, c.d, c.D_out));
  Vector<double> v = Vector<double>::Zero(some.theta_size());
  AttentionView(some).of_theta(v)(kV, 0, 1)(0, 0) = 1;
  CHECK(v[c.D * c.d] == 1);
}

TEST_CASE("other networks, and masked ones, are refused in one line") {
  const ModelPoint<double> other = two_layers();
  CHECK_THROWS_WITH(AttentionView(other, "the certificate"),
                    "the certificate is known for a single attention layer under squared loss only; the "
                    "network is another one");
  ModelPoint<double> x = make_instance({"single", 2, 3, 4, 2, 2, 2});
  auto data = std::make_shared<Data<double>>(*x.data);
  data->mask = {1, 1, 1, 1, 0, 1};
  x.data = data;
  CHECK_THROWS_WITH(AttentionView(x, "the certificate"),
                    "the certificate is known for a single attention layer under squared loss only; the "
                    "network is another one: it has masked tokens");
}
