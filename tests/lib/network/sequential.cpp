#include "basin/network/sequential.h"

#include "basin/linalg/errors.h"
#include "basin/network/gaussian_kernel.h"
#include "basin/network/softmax_kernel.h"
#include "support/check_layer.h"
#include "support/plain_attention.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Three attention layers, Gaussian between softmax: every path through inputs that move is taken.
Sequential<double> three_layers() {
  Sequential<double>::Layers layers;
  layers.push_back(std::make_unique<PlainAttention<double>>(Shape{3, 4}, 2, 2, 5,
                                                            std::make_shared<SoftmaxKernel<double>>(2)));
  layers.push_back(std::make_unique<PlainAttention<double>>(Shape{3, 5}, 1, 3, 2,
                                                            std::make_shared<GaussianKernel<double>>(1.5)));
  layers.push_back(std::make_unique<PlainAttention<double>>(Shape{3, 2}, 2, 2, 2,
                                                            std::make_shared<SoftmaxKernel<double>>(2)));
  return Sequential<double>(std::move(layers));
}

}  // namespace

TEST_CASE("a chain of layers obeys the four rules") {
  const Sequential<double> chain = three_layers();
  check_layer(chain, 2, true, {});
  check_layer(chain, 2, false, {});
  SECTION("with frozen blocks in every layer") {
    check_layer(chain, 2, false, {"1.W_Q", "2.W_K", "2.W_V", "3.W_O"});
  }
  SECTION("with the first layer frozen") {
    check_layer(chain, 2, false, {"1.W_Q", "1.W_K", "1.W_V", "1.W_O"});
    check_layer(chain, 2, true, {"1.W_Q", "1.W_K", "1.W_V", "1.W_O"});
  }
  SECTION("with only the first layer trained") {
    check_layer(chain, 2, false, {"2.W_Q", "2.W_K", "2.W_V", "2.W_O", "3.W_Q", "3.W_K", "3.W_V", "3.W_O"});
  }
  SECTION("with the two first layers frozen") {
    check_layer(chain, 2, false, {"1.W_Q", "1.W_K", "1.W_V", "1.W_O", "2.W_Q", "2.W_K", "2.W_V", "2.W_O"});
  }
}

TEST_CASE("a chain prefixes the names of its blocks, and refuses layers that do not fit") {
  CHECK(three_layers().blocks()[5].name == "2.W_K");
  CHECK_THROWS_WITH(Sequential<double>({}), "a model needs at least one layer");
  Sequential<double>::Layers layers;
  for (const Index outputs : {3, 4})
    layers.push_back(std::make_unique<PlainAttention<double>>(Shape{2, 4}, 1, 1, outputs,
                                                              std::make_shared<SoftmaxKernel<double>>(1)));
  CHECK_THROWS_WITH(Sequential<double>(std::move(layers)),
                    "layer 2 takes (tokens, width) = (2, 4), but the layer before it gives (2, 3)");
}
