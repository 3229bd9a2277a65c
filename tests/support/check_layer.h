/// Holds any layer to the definitions of its four rules (network/layer.h).
#pragma once

#include <catch2/catch.hpp>

#include "basin/network/layer.h"
#include "support/cases.h"

namespace basin::test {

/// Tests, at a random point with `samples` samples and k = 2 directions, for a layer whose blocks in `frozen`
/// are held fixed and whose input moves or not:
///   tangent = central difference of value;  <ybar, dy> = <xbar, dx> + <wbar, dw>;
///   tangent_of_adjoint = central difference of adjoint;
///   gradient and hessian, through a rule on rows, = the rules one after the other.
inline void check_layer(const Layer<double>& layer, Index samples, bool input_moves,
                        const std::vector<std::string>& frozen, std::uint64_t seed = 1,
                        const Context& context = {}) {
  constexpr Index k = 2;
  // Fourth-order differences at h = 2.5e-4: truncation 4e-15, rounding eps / h = 9e-13, times derivatives
  // that reach some thousands (of fifth order, in compositions, 1e7); 1e-8 leaves room for a factor 10 and
  // more.
  constexpr double h = 2.5e-4, difference_tolerance = 1e-8, identity_tolerance = 1e-12;

  std::vector<std::string> trainable;
  for (const ParameterBlock& b : layer.blocks())
    if (std::find(frozen.begin(), frozen.end(), b.name) == frozen.end()) trainable.push_back(b.name);
  std::vector<ParameterBlock> blocks = layer.blocks();
  if (trainable.empty()) {  // a block that the layer does not have, so that theta is not empty
    blocks.push_back({"none", {1}});
    trainable.emplace_back("none");
  }
  const ParameterLayout layout(blocks, trainable);
  const Index P = layout.theta_size(), rows = samples * layer.input().tokens, D = layer.input().width;
  const Index out_rows = samples * layer.output().tokens, out_width = layer.output().width;

  Random random(seed, "check_layer");
  Vector<double> weights(layout.weight_count());
  random.fill_normal(weights);
  weights /= std::sqrt(static_cast<double>(std::max<Index>(D, 1)));
  Vector<double> x(rows * D), ybar(out_rows * out_width);
  random.fill_normal(x);
  random.fill_normal(ybar);
  Vectors<double> dw(P, k), dx(x.size(), k), dybar(ybar.size(), k);
  for (auto* v : {&dw, &dx, &dybar}) random.fill_normal(*v);
  if (!input_moves) dx.setZero();

  using Const = BatchView<const double>;
  const auto w_view = [&](const Vector<double>& w) {
    return BlockView<const double>(w.data(), 1, w.size(), layout.weight_slots());
  };
  const auto flat = [](const Batch<double>& b, Index j) {
    return Vector<double>(Eigen::Map<const Vector<double>>(b[j].data(), b[j].size()));
  };
  const auto moved_weights = [&](Index j, double t) {
    Vector<double> w = weights;
    layout.insert<double>(layout.extract(weights) + t * dw.col(j), w);
    return w;
  };
  const auto value_at = [&](Index j, double t) {
    const Vector<double> w = moved_weights(j, t), xt = x + t * dx.col(j);
    Saved<double> saved;
    saved.context = context;
    Batch<double> y;
    layer.value(w_view(w), Const(xt.data(), 1, rows, D), saved, y);
    return flat(y, 0);
  };
  // (xbar, wbar) in one vector
  const auto adjoint_at = [&](Index j, double t) {
    const Vector<double> w = moved_weights(j, t), xt = x + t * dx.col(j), yt = ybar + t * dybar.col(j);
    Saved<double> value, adjoint;
    Batch<double> y, xbar;
    Vector<double> wbar = Vector<double>::Zero(P);
    value.context = context;
    layer.value(w_view(w), Const(xt.data(), 1, rows, D), value, y);
    layer.adjoint(w_view(w), value, Const(yt.data(), 1, out_rows, out_width), adjoint,
                  BlockView<double>(wbar.data(), 1, P, layout.theta_slots()), input_moves ? &xbar : nullptr);
    Vector<double> both = Vector<double>::Zero(x.size() + P);
    if (input_moves) both.head(x.size()) = flat(xbar, 0);
    both.tail(P) = wbar;
    return both;
  };

  Saved<double> value, tangent, adjoint;
  Batch<double> y, dy, xbar, dxbar;
  Vector<double> wbar = Vector<double>::Zero(P);
  Vectors<double> dwbar = Vectors<double>::Ones(P, k);  // rules add to it
  const BlockView<const double> w = w_view(weights), dw_view(dw.data(), k, P, layout.theta_slots());
  const Const dx_view = input_moves ? Const(dx.data(), k, rows, D) : Const();
  value.context = context;
  layer.value(w, Const(x.data(), 1, rows, D), value, y);
  layer.tangent(w, value, dx_view, dw_view, tangent, dy);
  layer.adjoint(w, value, Const(ybar.data(), 1, out_rows, out_width), adjoint,
                BlockView<double>(wbar.data(), 1, P, layout.theta_slots()), input_moves ? &xbar : nullptr);
  layer.tangent_of_adjoint(w, value, adjoint, tangent, dw_view, Const(dybar.data(), k, out_rows, out_width),
                           BlockView<double>(dwbar.data(), k, P, layout.theta_slots()),
                           input_moves ? &dxbar : nullptr);

  for (Index j = 0; j < k; ++j) {
    const Vector<double> dy_expected = central_difference([&](double t) { return value_at(j, t); }, h);
    CHECK((flat(dy, j) - dy_expected).norm() <= difference_tolerance * (1 + dy_expected.norm()));

    const double left = ybar.dot(flat(dy, j));
    const double right = wbar.dot(dw.col(j)) + (input_moves ? flat(xbar, 0).dot(dx.col(j)) : 0);
    // 1e-16: where the derivative is zero there is nothing but rounding.
    CHECK(std::abs(left - right) <=
          identity_tolerance * (ybar.norm() * flat(dy, j).norm() + wbar.norm()) + 1e-16);

    const Vector<double> expected = central_difference([&](double t) { return adjoint_at(j, t); }, h);
    Vector<double> found = Vector<double>::Zero(expected.size());
    if (input_moves) found.head(x.size()) = flat(dxbar, j);
    found.tail(P) = dwbar.col(j).array() - 1;
    CHECK((found - expected).norm() <= difference_tolerance * (1 + expected.norm()));
  }

  // l = sum of y^3 / 3 + t y with other targets t in each row, forth and back at once and in separate steps:
  // ybar = y^2 + t, dybar = 2 y dy
  class Cubic final : public RowRule<double> {
   public:
    void gradient(Index first_row, ConstMatrixRef<double> y, MatrixRef<double> ybar) const override {
      for (Index row = 0; row < y.rows(); ++row)
        ybar.row(row) = y.row(row).array().square() + static_cast<double>(first_row + row);
    }
    void curvature(Index, ConstMatrixRef<double> y, ConstMatrixRef<double> dy,
                   MatrixRef<double> dybar) const override {
      dybar = 2 * y.cwiseProduct(dy);
    }
  };
  Saved<double> value2, tangent2, adjoint2;
  Batch<double> y2, ybar2, dy2, dybar2, xbar2, dxbar2;
  Vector<double> wbar2 = Vector<double>::Zero(P);
  Vectors<double> dwbar2 = Vectors<double>::Zero(P, k);
  value2.context = context;
  layer.gradient(w, Const(x.data(), 1, rows, D), Cubic(), value2, y2, ybar2, adjoint2,
                 BlockView<double>(wbar2.data(), 1, P, layout.theta_slots()), input_moves ? &xbar2 : nullptr);
  layer.hessian(w, value2, adjoint2, y2.view(), dx_view, dw_view, Cubic(), tangent2, dy2, dybar2,
                BlockView<double>(dwbar2.data(), k, P, layout.theta_slots()),
                input_moves ? &dxbar2 : nullptr);
  Batch<double> ybar_steps, dybar_steps;
  ybar_steps.resize(1, out_rows, out_width);
  Cubic().gradient(0, y[0], ybar_steps[0]);
  dybar_steps.resize(k, out_rows, out_width);
  for (Index j = 0; j < k; ++j) Cubic().curvature(0, y[0], dy[j], dybar_steps[j]);
  wbar.setZero();
  dwbar.setZero();
  layer.adjoint(w, value, ybar_steps.view(), adjoint,
                BlockView<double>(wbar.data(), 1, P, layout.theta_slots()), input_moves ? &xbar : nullptr);
  layer.tangent_of_adjoint(w, value, adjoint, tangent, dw_view, dybar_steps.view(),
                           BlockView<double>(dwbar.data(), k, P, layout.theta_slots()),
                           input_moves ? &dxbar : nullptr);
  const auto same = [&](const Vector<double>& a, const Vector<double>& b) {
    return (a - b).norm() <= identity_tolerance * (1 + b.norm());
  };
  CHECK(same(flat(y2, 0), flat(y, 0)));
  CHECK(same(wbar2, wbar));
  if (input_moves) CHECK(same(flat(xbar2, 0), flat(xbar, 0)));
  for (Index j = 0; j < k; ++j) {
    CHECK(same(dwbar2.col(j), dwbar.col(j)));
    if (input_moves) CHECK(same(flat(dxbar2, j), flat(dxbar, j)));
  }
}

}  // namespace basin::test
