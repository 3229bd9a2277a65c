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
