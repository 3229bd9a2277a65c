#include "basin/network/embedding.h"

#include "support/check_layer.h"
#include "support/check_precision.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("embeddings obey the four rules, ids that stand twice included") {
  const std::vector<std::int32_t> ids = {0, 3, 3, 1, 0, 0};
  const Context context{.ids = ids, .mask = {}};
  const Embedding<double> layer({3, 0}, 5, 4);
  check_layer(layer, 2, false, {}, 1, context);
  // adjoints touch the rows that were used alone
  Vector<double> ybar = Vector<double>::Ones(24), wbar = Vector<double>::Zero(20), w = wbar;
  const ParameterLayout layout(layer.blocks(), {"E"});
  Saved<double> value, adjoint;
  value.context = context;
  Batch<double> y;
  layer.value({w.data(), 1, 20, layout.weight_slots()}, {nullptr, 1, 6, 0}, value, y);
  layer.adjoint({w.data(), 1, 20, layout.weight_slots()}, value, {ybar.data(), 1, 6, 4}, adjoint,
                {wbar.data(), 1, 20, layout.theta_slots()}, nullptr);
  const Matrix<double> E = Eigen::Map<Matrix<double>>(wbar.data(), 5, 4);
  CHECK(E.col(0) == Vector<double>{{3, 1, 0, 2, 0}});
}

TEST_CASE("token types add a row of their own, whichever of the two tables is trained") {
  const std::vector<std::int32_t> ids = {0, 3, 3, 1, 0, 0}, types = {0, 1, 0, 0, 1, 1};
  const Context context{.ids = ids, .mask = {}, .types = types};
  const Embedding<double> layer({3, 0}, 5, 4, 2);
  check_layer(layer, 2, false, {}, 1, context);
  check_layer(layer, 2, false, {"E"}, 1, context);
  check_layer(layer, 2, false, {"Types"}, 1, context);
  Vector<double> w(28);
  for (Index i = 0; i < 28; ++i) w[i] = static_cast<double>(i);
  const ParameterLayout layout(layer.blocks(), {"E", "Types"});
  Saved<double> value;
  value.context = context;
  Batch<double> y;
  layer.value({w.data(), 1, 28, layout.weight_slots()}, {nullptr, 1, 6, 0}, value, y);
  CHECK(y[0](1, 2) == (3 * 4 + 2) + (20 + 4 + 2));  // E(3, 2) + Types(1, 2)
  CHECK(y[0](5, 0) == 0 + (20 + 4));
}
